"""Parts of `isthmus fit`: defaults, continuation, baselines, training and judgement."""

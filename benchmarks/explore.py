"""How quick the page of `isthmus explore` is: in headless Chromium, on eight dense models of MNIST's size.

    python -m benchmarks.explore [--seconds 60] [--clients 100]

Needs MNIST, and Chromium (`make browser`). Painted: from the slider's event until all pictures were in a frame, without
the wait for the next refresh of a screen. While the slider rests the page asks for all its stops, so that most of its
moves need no answer; a new draw of the noise always does. The models are trained for one short epoch: what they draw
does not matter.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page, sync_playwright

from isthmus.cli import run_command

HIDDEN = ([512, 256], [256], [], [128], [512], [], [256, 128], [])
WIDTHS = (32, 16, 64, 8, 128, 256, 30, 1024)
EVENTS = """async ([n, what]) => {
  const slider = document.getElementById("level"), button = document.getElementById("new-draw"), took = [], drawn = [];
  const frame = () => new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = done;
    channel.port2.postMessage(0);
  }));
  for (let i = 0; i < n; i++) {
    await new Promise((done) => setTimeout(done, 20 + 17 * (i % 3)));
    const painted = new Promise((done) => document.addEventListener("painted", done, { once: true }));
    slider.value = what === "slider" ? 1 + ((i * 7) % 99) : slider.value;
    const start = performance.now();
    if (what === "slider") slider.dispatchEvent(new Event("input"));
    else button.click();
    await painted;
    drawn.push(performance.now() - start);
    await frame();
    took.push(performance.now() - start);
  }
  return [drawn, took];
}"""
CLICK = """async (n) => {
  const number = document.querySelector("#inside input[type=number]"), took = [];
  for (let i = 0; i < n; i++) {
    await new Promise((done) => setTimeout(done, 60));
    const painted = new Promise((done) => document.addEventListener("unit-painted", done, { once: true }));
    number.value = (i * 37) % 1024;
    const start = performance.now();
    number.dispatchEvent(new Event("change"));
    await painted;
    took.push(performance.now() - start);
  }
  return took;
}"""


def prepare(folder: Path) -> Path:
    """A run of eight dense models."""
    models = "".join(
        f'[[model]]\nname = "dense-{width}"\nestimator = "autoencoder"\nepochs = 1\n'
        f'network = {{kind = "dense", hidden = {hidden}, bottleneck = {width}, output = "sigmoid"}}\n'
        for hidden, width in zip(HIDDEN, WIDTHS, strict=True)
    )
    study = folder / "eight.toml"
    study.write_text(f'title = "Eight dense models"\n[data]\nname = "mnist"\n{models}', "utf-8")
    if code := run_command(["run", str(study), "--quick", "--out", str(folder)]):
        sys.exit(code)
    return folder / "eight"


def serve(run: Path) -> tuple[subprocess.Popen, str]:
    """The server's process and its address, as soon as the page can be had there."""
    command = [sys.executable, "-m", "isthmus", "explore", str(run), "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    fetch(address)
    return process, address


def fetch(address: str) -> None:
    """Wait for an answer."""
    with urllib.request.urlopen(address) as response:
        response.read()


def stop(process: subprocess.Popen) -> None:
    """End the server, and wait for it."""
    process.terminate()
    process.wait(60)


def quantiles(values: list[float]) -> str:
    """The median and the 95th percentile, in milliseconds."""
    ordered = sorted(values)
    return f"median {ordered[len(ordered) // 2]:.1f} ms, 95 % within {ordered[int(0.95 * len(ordered))]:.1f} ms"


def in_the_browser(address: str, run: Path) -> None:
    """Everything that is measured on the page."""
    with sync_playwright() as p:
        executable = shutil.which("chromium") or shutil.which("chromium-browser")
        free = ["--disable-gpu-vsync", "--disable-frame-rate-limit"]
        browser = p.chromium.launch(executable_path=executable, args=["--no-sandbox", *free])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        ready(page, f"{address}#models=*")
        print(f"page ready: {time.perf_counter() - start:.2f} s")
        for what in ("slider", "new draw of the noise"):
            page.evaluate(EVENTS, [20, what])  # the first answers warm everything up
            page.wait_for_timeout(500)
            drawn, took = page.evaluate(EVENTS, [200, what])
            print(f"{what} to drawn: {quantiles(drawn)}; to painted: {quantiles(took)}")
        ready(page, f"{address}#view=inside&model=dense-1024")
        page.wait_for_selector("#inside .thumbs button")  # every unit was looked at on the test images
        print(f"click on a unit of 1,024: {quantiles(page.evaluate(CLICK, 60))}")
        start = time.perf_counter()
        process, another = serve(run)
        ready(page, another)  # which waits while the models are read
        page.wait_for_selector("#models .says b")
        print(f"from the command to the first pictures: {time.perf_counter() - start:.2f} s")
        browser.close()
        stop(process)


def in_one_file(run: Path) -> None:
    """The slider of the page in one file, which computes each step itself, on as many of the models as it holds."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        file = Path(folder) / "page.html"
        start = time.perf_counter()
        if code := run_command(["explore", str(run), "--export", str(file)]):
            sys.exit(code)
        print(f"one file: {file.stat().st_size / 1e6:.1f} MB, written in {time.perf_counter() - start:.0f} s")
        executable = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = p.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        ready(page, file.as_uri())
        print(f"page in one file ready: {time.perf_counter() - start:.2f} s")
        page.evaluate(EVENTS, [20, "slider"])
        drawn, took = page.evaluate(EVENTS, [200, "slider"])
        print(f"slider in one file to drawn: {quantiles(drawn)}; to painted: {quantiles(took)}")
        browser.close()


def ready(page: Page, address: str) -> None:
    """Open the page, and wait until its first pictures are there."""
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("html[data-ready]")


async def _client(host: str, port: int, until: float, body: bytes) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    names = ",".join(f"dense-{width}" for width in WIDTHS)
    done = 0
    while time.perf_counter() < until:
        path = f"/api/reconstruct?models={names}&level=0.3&draw={done}"
        head = f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = next(line for line in answer.lower().split(b"\r\n") if line.startswith(b"content-length"))
        await reader.readexactly(int(length.split(b":")[1]))
        done += 1
    writer.close()
    return done


def resident(process: subprocess.Popen) -> float:
    """MiB of memory of a process (Linux)."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def many(process: subprocess.Popen, address: str, clients: int, seconds: float) -> None:
    """So many clients, each asking again as soon as it is answered."""
    parts = urlsplit(address)

    async def all_of_them(duration: float) -> int:
        until = time.perf_counter() + duration
        body = struct.pack("<784f", *[0.5] * 784)
        tasks = [_client(str(parts.hostname), int(parts.port or 0), until, body) for _ in range(clients)]
        return sum(await asyncio.gather(*tasks))

    asyncio.run(all_of_them(seconds / 6))
    before = resident(process)
    n = asyncio.run(all_of_them(seconds))
    print(
        f"{clients} clients for {seconds:g} s: {n:,} answers, no error; memory {before:.0f} MiB before, "
        f"{resident(process):.0f} MiB after"
    )


def main() -> None:
    """Measure, and print a line for each number."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--clients", type=int, default=100)
    options.add_argument("--run", type=Path, help="a run that this made before")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = chosen.run or prepare(Path(folder))
        start = time.perf_counter()
        process, address = serve(run)
        try:
            up = time.perf_counter() - start
            fetch(f"{address}api/about")  # what has no answer before the models are read
            print(f"server up: the page after {up:.2f} s, the models after {time.perf_counter() - start:.2f} s")
            in_the_browser(address, run)
            in_one_file(run)
            many(process, address, chosen.clients, chosen.seconds)
        finally:
            stop(process)


if __name__ == "__main__":
    main()

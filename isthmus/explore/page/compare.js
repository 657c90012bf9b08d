export function begin() {}
export function show() {}
export function undo() {}

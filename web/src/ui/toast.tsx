// Short messages about finished actions, for eyes and for screen readers.

import { useEffect, useSyncExternalStore } from "react";
import { Button } from "./basics";

interface Toast {
  id: number;
  text: string;
  bad: boolean;
}

let toasts: readonly Toast[] = [];
let lastId = 0;
const listeners = new Set<() => void>();

function set(next: readonly Toast[]): void {
  toasts = next;
  for (const listener of listeners) listener();
}

export function toast(text: string, bad = false): void {
  lastId += 1;
  set([...toasts.slice(-2), { id: lastId, text, bad }]);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function Toasts() {
  const shown = useSyncExternalStore(subscribe, () => toasts);
  return (
    <div className="toasts" aria-live="polite" role="status">
      {shown.map((one) => (
        <OneToast key={one.id} toast={one} />
      ))}
    </div>
  );
}

function OneToast({ toast: one }: { toast: Toast }) {
  const close = () => set(toasts.filter((other) => other.id !== one.id));
  // Errors stay until they are read.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the timer belongs to the toast, not to the drawing
  useEffect(() => {
    if (one.bad) return;
    const timer = setTimeout(close, 5000);
    return () => clearTimeout(timer);
  }, [one.id]);
  return (
    <div className={`toast ${one.bad ? "bad" : ""}`}>
      <span>{one.text}</span>
      <Button kind="quiet" icon="close" aria-label="Dismiss" onClick={close} />
    </div>
  );
}

// Keyboard shortcuts of one letter, or of two in a row ("g q"). Off while somebody types or a dialog is open.

import { useEffect, useRef, useSyncExternalStore } from "react";

export type KeyMap = Readonly<Record<string, () => void>>;

const KEY = "relay-shortcuts";
const SEQUENCE_MS = 1200;
const maps: { current: KeyMap }[] = [];
const listeners = new Set<() => void>();
let prefix = "";
let prefixAt = 0;
let enabled = readEnabled();

function readEnabled(): boolean {
  try {
    return localStorage.getItem(KEY) !== "off";
  } catch {
    return true;
  }
}

/** People who steer by voice, or hit keys by accident, can turn them off. */
export function setShortcutsEnabled(on: boolean): void {
  enabled = on;
  try {
    localStorage.setItem(KEY, on ? "on" : "off");
  } catch {
    // Lasts as long as the page.
  }
  for (const listener of listeners) listener();
}

export function useShortcutsEnabled(): boolean {
  return useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => enabled,
  );
}

function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.isContentEditable)
  );
}

function onKeyDown(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (document.querySelector("dialog[open]")) return;
  if (isTyping(event.target)) {
    const checkbox = event.target instanceof HTMLInputElement && event.target.type === "checkbox";
    if (event.key === "Escape" && !checkbox) (event.target as HTMLElement).blur();
    if (!checkbox) return;
  }
  if (!enabled && event.key !== "Escape") return;
  const sequence = prefix && event.timeStamp - prefixAt < SEQUENCE_MS ? `${prefix} ${event.key}` : "";
  prefix = "";
  // The newest map comes first, so that a page's keys win over the keys of the frame.
  for (const map of [...maps].reverse()) {
    const run = (sequence && map.current[sequence]) || (!sequence && map.current[event.key]);
    if (run) {
      event.preventDefault();
      run();
      return;
    }
  }
  if (maps.some((map) => Object.keys(map.current).some((key) => key.startsWith(`${event.key} `)))) {
    prefix = event.key;
    prefixAt = event.timeStamp;
  }
}

export function useKeys(map: KeyMap): void {
  const holder = useRef(map);
  holder.current = map;
  useEffect(() => {
    if (maps.length === 0) document.addEventListener("keydown", onKeyDown);
    maps.push(holder);
    return () => {
      maps.splice(maps.indexOf(holder), 1);
      if (maps.length === 0) document.removeEventListener("keydown", onKeyDown);
    };
  }, []);
}

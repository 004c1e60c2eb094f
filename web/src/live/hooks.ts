// Hooks that read the live store, and that fetch data which the live stream does not have.

import {
  createContext,
  useCallback,
  useContext,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { isAbort } from "../api/http";
import type { LiveConnection } from "./connection";
import type { LiveState, LiveStore } from "./store";

export const LiveContext = createContext<{ store: LiveStore; connection: LiveConnection } | null>(null);

export function useLiveParts(): { store: LiveStore; connection: LiveConnection } {
  const parts = useContext(LiveContext);
  if (!parts) throw new Error("no live store above this component");
  return parts;
}

/** A part of the state; the component is drawn again when that part is another value or object. */
export function useLive<T>(select: (state: LiveState) => T): T {
  const { store } = useLiveParts();
  return useSyncExternalStore(store.subscribe, () => select(store.get()));
}

/** True while the page is visible and has the focus: nobody needs fresh data on another one. */
export function useAttention(): boolean {
  const [attention, setAttention] = useState(hasAttention);
  useEffect(() => {
    const look = () => setAttention(hasAttention());
    const events = ["focus", "blur"] as const;
    for (const name of events) window.addEventListener(name, look);
    document.addEventListener("visibilitychange", look);
    return () => {
      for (const name of events) window.removeEventListener(name, look);
      document.removeEventListener("visibilitychange", look);
    };
  }, []);
  return attention;
}

function hasAttention(): boolean {
  return !document.hidden && document.hasFocus();
}

export interface Fetched<T> {
  data: T | undefined;
  error: Error | undefined;
  loading: boolean;
  /** When `data` came. */
  at: number;
  refetch: () => void;
}

/**
 * The result of `fetcher`, fetched again every `everyMs` while the page has attention, when `key` changes, and when the live
 * stream is back. An error keeps the data before it.
 */
export function useFetched<T>(
  key: string,
  fetcher: (signal: AbortSignal) => Promise<T>,
  everyMs = 0,
): Fetched<T> {
  const [state, setState] = useState<{ key: string; data?: T; error?: Error; at: number }>({ key, at: 0 });
  const [round, setRound] = useState(0);
  const latest = useRef(fetcher);
  latest.current = fetcher;
  const attention = useAttention();
  const live = useLive((one) => one.connection.phase === "live");

  // biome-ignore lint/correctness/useExhaustiveDependencies: `round` and `live` are reasons to ask again
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ask = async () => {
      try {
        const data = await latest.current(abort.signal);
        if (!abort.signal.aborted) setState({ key, data, at: Date.now() });
      } catch (error) {
        if (abort.signal.aborted || isAbort(error)) return;
        setState((old) => ({
          ...(old.key === key ? old : { at: 0 }),
          key,
          error: error instanceof Error ? error : new Error(String(error)),
        }));
      }
      if (everyMs > 0 && attention && !abort.signal.aborted) timer = setTimeout(ask, everyMs);
    };
    void ask();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, round, everyMs, attention, live]);

  const current = state.key === key ? state : { key, at: 0 };
  return {
    data: current.data,
    error: current.error,
    loading: current.data === undefined && current.error === undefined,
    at: current.at,
    refetch: useCallback(() => setRound((old) => old + 1), []),
  };
}

/** The present, drawn again every `everyMs`. */
export function useNow(everyMs: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

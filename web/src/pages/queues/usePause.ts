// Pause and resume, with words about what happened.

import { useState } from "react";
import { setPaused } from "../../api/calls";
import { words } from "../../ui/basics";
import { toast } from "../../ui/toast";

export function usePause(queue: { name: string; paused: boolean }): { busy: boolean; toggle: () => void } {
  const [busy, setBusy] = useState(false);
  const toggle = async () => {
    setBusy(true);
    try {
      const now = await setPaused(queue.name, !queue.paused);
      toast(
        now.paused
          ? `${queue.name} is paused: jobs in flight go on, no more are claimed`
          : `${queue.name} goes on`,
      );
    } catch (error) {
      toast(`${queue.name}: ${words(error as Error)}`, true);
    } finally {
      setBusy(false);
    }
  };
  return { busy, toggle };
}

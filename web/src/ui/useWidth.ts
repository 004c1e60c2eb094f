// The width of an element, kept up to date.

import { type RefCallback, useCallback, useRef, useState } from "react";

export function useWidth(start = 600): [RefCallback<HTMLElement>, number] {
  const [width, setWidth] = useState(start);
  const observer = useRef<ResizeObserver | null>(null);
  const ref = useCallback(
    (element: HTMLElement | null) => {
      observer.current?.disconnect();
      if (!element) return;
      setWidth(element.clientWidth || start);
      observer.current = new ResizeObserver(() => setWidth(element.clientWidth || start));
      observer.current.observe(element);
    },
    [start],
  );
  return [ref, width];
}

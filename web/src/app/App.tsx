// The frame around the pages: navigation, connection, theme, and the keys that work everywhere.

import { type ReactNode, useEffect, useRef, useState } from "react";
import { useLive } from "../live/hooks";
import { useKeys } from "../nav/keys";
import { go, href, type Route, useRoute } from "../nav/router";
import { DeadPage } from "../pages/dead/DeadPage";
import { JobPage } from "../pages/job/JobPage";
import { JobsPage } from "../pages/jobs/JobsPage";
import { OverviewPage } from "../pages/overview/OverviewPage";
import { QueuePage } from "../pages/queue/QueuePage";
import { QueuesPage } from "../pages/queues/QueuesPage";
import { ServerPage } from "../pages/server/ServerPage";
import { WorkersPage } from "../pages/workers/WorkersPage";
import { Empty, Icon, type IconName } from "../ui/basics";
import { Patterns } from "../ui/StateBar";
import { Toasts } from "../ui/toast";
import { Account } from "./Account";
import { Banner, ConnectionState } from "./Banner";
import { Help } from "./Help";
import { SignIn } from "./SignIn";
import { currentTheme, nextTheme, setTheme } from "./theme";

const PAGES: readonly { path: string; name: string; icon: IconName; key: string }[] = [
  { path: "", name: "Overview", icon: "overview", key: "g o" },
  { path: "queues", name: "Queues", icon: "queues", key: "g q" },
  { path: "jobs", name: "Jobs", icon: "jobs", key: "g j" },
  { path: "dead", name: "Dead letters", icon: "dead", key: "g d" },
  { path: "workers", name: "Workers", icon: "workers", key: "g w" },
  { path: "server", name: "Server", icon: "server", key: "g s" },
];

function page({ path, query }: Route): { title: string; body: ReactNode } {
  const [head = "", name, id] = path;
  const filter = (key: string) => query.get(key) ?? "";
  if (head === "") return { title: "Overview", body: <OverviewPage /> };
  if (head === "queues" && name) return { title: name, body: <QueuePage key={name} name={name} /> };
  if (head === "queues")
    return { title: "Queues", body: <QueuesPage filter={filter("q")} sort={filter("sort")} /> };
  if (head === "jobs" && name && id) return { title: "Job", body: <JobPage key={id} queue={name} id={id} /> };
  if (head === "jobs")
    return {
      title: "Jobs",
      body: (
        <JobsPage queue={filter("queue")} state={filter("state")} type={filter("type")} id={filter("id")} />
      ),
    };
  if (head === "dead")
    return {
      title: "Dead letters",
      body: (
        <DeadPage
          queue={filter("queue")}
          type={filter("type")}
          errorType={filter("error")}
          list={filter("view") === "list"}
        />
      ),
    };
  if (head === "workers") return { title: "Workers", body: <WorkersPage /> };
  if (head === "server") return { title: "Server", body: <ServerPage /> };
  return {
    title: "Not found",
    body: (
      <Empty whole title="There is no such page">
        <a href={href([])}>To the overview</a>
      </Empty>
    ),
  };
}

export function App() {
  const route = useRoute();
  const [help, setHelp] = useState(false);
  const refused = useLive((state) => state.connection.phase === "refused");
  const { title, body } = refused ? { title: "Sign in", body: <SignIn /> } : page(route);
  const main = useRef<HTMLElement>(null);
  const path = route.path.join("/");
  const shownPath = useRef(path);
  useEffect(() => {
    document.title = `${title} · Relay`;
  }, [title]);
  useEffect(() => {
    // A new page gets the focus, so that keyboards and screen readers start there; the first page does not.
    if (shownPath.current === path) return;
    shownPath.current = path;
    main.current?.focus();
    window.scrollTo(0, 0);
  }, [path]);
  useKeys({
    ...Object.fromEntries(PAGES.map((one) => [one.key, () => go(href(one.path ? [one.path] : []))])),
    "?": () => setHelp(true),
    "/": () => {
      const search = document.querySelector<HTMLInputElement>("[data-search]");
      if (search) search.focus();
      else go(href(["queues"]));
    },
  });
  return (
    <>
      <Patterns />
      <header className="frame">
        <a className="skip" href={`#/${path}`} onClick={() => main.current?.focus()}>
          Skip to content
        </a>
        <a className="brand" href={href([])} aria-label="Relay, overview">
          <svg viewBox="0 0 32 32" width="24" height="24" aria-hidden="true">
            <path d="M5 11h12a6 6 0 0 1 0 12h-6M5 11l5-5M5 11l5 5" />
            <circle cx="26" cy="23" r="2.4" />
          </svg>
          Relay
        </a>
        {!refused && (
          <nav aria-label="Pages">
            {PAGES.map((one) => (
              <a
                key={one.path}
                href={href(one.path ? [one.path] : [])}
                aria-current={(route.path[0] ?? "") === one.path ? "page" : undefined}
                title={`${one.name} (${one.key})`}
              >
                <Icon name={one.icon} />
                <span>{one.name}</span>
              </a>
            ))}
          </nav>
        )}
        <div className="frame-foot">
          {!refused && <ConnectionState />}
          {!refused && <Account />}
          <ThemeButton />
          <button
            type="button"
            className="button quiet"
            onClick={() => setHelp(true)}
            title="Keyboard shortcuts (?)"
            aria-label="Keyboard shortcuts"
          >
            <Icon name="keyboard" />
          </button>
        </div>
      </header>
      <main ref={main} tabIndex={-1}>
        <Banner />
        {body}
      </main>
      <Toasts />
      {help && <Help pages={PAGES} onClose={() => setHelp(false)} />}
    </>
  );
}

function ThemeButton() {
  const [theme, set] = useState(currentTheme);
  const icon = ({ system: "system", light: "sun", dark: "moon" } as const)[theme];
  return (
    <button
      type="button"
      className="button quiet"
      aria-label={`Theme: ${theme}. Change`}
      title={`Theme: ${theme}`}
      onClick={() => {
        const next = nextTheme(theme);
        setTheme(next);
        set(next);
      }}
    >
      <Icon name={icon} />
    </button>
  );
}

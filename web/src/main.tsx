// Starts the page: the live store, its connection, and React.

import { createRoot } from "react-dom/client";
import { onUnauthenticated } from "./api/http";
import { App } from "./app/App";
import { LiveConnection } from "./live/connection";
import { LiveContext } from "./live/hooks";
import { LiveStore } from "./live/store";
import "./styles/tokens.css";
import "./styles/base.css";
import "./styles/parts.css";
import "./styles/pages.css";

const store = new LiveStore();
const connection = new LiveConnection(store);

onUnauthenticated((error) => {
  // The first visit needs no words.
  if (store.get().connection.phase !== "refused")
    connection.refuse(store.get().snapshot ? error.message : "");
});

// A hidden tab needs no numbers. A visible one without the focus goes on: it may be a screen on a wall.
document.addEventListener("visibilitychange", () =>
  document.hidden ? connection.stop() : connection.start(),
);
if (!document.hidden) connection.start();

const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <LiveContext value={{ store, connection }}>
      <App />
    </LiveContext>,
  );

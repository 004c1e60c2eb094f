// Signing in and out: the token goes to the server once and comes back as a cookie that no script can read.

import { request } from "./http";

export interface Session {
  signInNeeded?: boolean;
  principal?: string;
  /** Globs of queue names by role. */
  roles?: Record<string, string[]>;
  /** Whether a cookie says who one is, so that there is something to sign out of. */
  canSignOut?: boolean;
}

export function getSession(signal?: AbortSignal): Promise<Session> {
  return request<Session>("session", signal ? { signal } : {});
}

export function signIn(token: string): Promise<Session> {
  return request<Session>("session", { method: "POST", body: { token } });
}

export function signOut(): Promise<Session> {
  return request<Session>("session", { method: "DELETE" });
}

// Signing in and out: the token goes to the server once and comes back as a cookie that no script can read.

import { request } from "./http";

export interface SignedIn {
  signInNeeded?: boolean;
  principal?: string;
  /** Globs of queue names by role. */
  roles?: Record<string, string[]>;
  /** Whether the token came in a cookie, which signing out removes. */
  canSignOut?: boolean;
}

export function getSignIn(signal?: AbortSignal): Promise<SignedIn> {
  return request<SignedIn>("sign-in", signal ? { signal } : {});
}

export function signIn(token: string): Promise<SignedIn> {
  return request<SignedIn>("sign-in", { method: "POST", body: { token } });
}

export function signOut(): Promise<SignedIn> {
  return request<SignedIn>("sign-in", { method: "DELETE" });
}

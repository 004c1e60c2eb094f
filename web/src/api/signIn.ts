// Signing in and out: the token goes to the server once and comes back as a cookie that no script can read.

import { request } from "./http";

export interface SignedIn {
  signInNeeded?: boolean;
  principal?: string;
  /** Globs of queue names by role. */
  roles?: Record<string, string[]>;
  /** Whether a cookie says who one is, so that there is something to sign out of. */
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

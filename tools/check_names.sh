#!/bin/sh
# Fails when a tracked file names a package registry's host or a folder of somebody's machine: either would make the
# project work in one place only. The patterns are written so that this file does not match them.
set -u

hosts='(py(pi|thonhosted)|npm(js|mirror)|yarn[p]kg)[.](org|com)|(proxy|sum)[.]golang[.]org|buf[.]build/gen'
folders='/wor[k]/(main|steering|shared|[.])|[.]librar[y]/|/roo[t]/[a-z.]|/User[s]/[a-z]|/home/[a-z]+/(src|code|git|projects)'
bad=$(git grep -nIE "$hosts|$folders" -- . ':!LICENSE' ':!clients/python/LICENSE' | cut -c1-160)
locked=$(
  git grep -nIE '[a-z]+://' -- 'requirements/*.txt' | grep -v '@license'
  git grep -nIE '[a-z]+://' -- '*package-lock.json' # .npmrc leaves out "resolved", make lock "funding"
)
locked=$(printf '%s' "$locked" | cut -c1-160)
for list in "$bad" "$locked"; do
  [ -z "$list" ] || { echo "a tracked file names a registry host or a machine's folder:"; echo "$list"; exit 1; }
done

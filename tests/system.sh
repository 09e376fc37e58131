#!/bin/sh
# The programs that the tests run for real: installed where that is allowed, else named.
missing=""
command -v chromium >/dev/null || missing="$missing chromium"
command -v nginx >/dev/null || missing="$missing nginx-light"
command -v openssl >/dev/null || missing="$missing openssl"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing$missing"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing fonts-dejavu-core; } >/dev/null 2>&1 && exit 0
  echo "Could not install$missing: see 'apt-get install$missing'."
  exit 1
fi
echo "The tests need$missing: sudo apt-get install$missing"
exit 1

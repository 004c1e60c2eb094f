// Sets the chosen theme before the first paint; a file of its own because the Content-Security-Policy forbids inline scripts.
try {
  const theme = localStorage.getItem("relay-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage may be forbidden: the system's theme it is.
}

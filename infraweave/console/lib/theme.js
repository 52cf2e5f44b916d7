// Light or dark: as the system has it, until someone switches.

const STORAGE_KEY = "infraweave.theme";

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
}

/** Apply the theme that was selected in this browser before. */
export function restoreTheme() {
  const theme = localStorage.getItem(STORAGE_KEY);
  if (theme) setTheme(theme);
}

export function switchTheme() {
  const systemTheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const theme = (document.documentElement.dataset.theme ?? systemTheme) === "dark" ? "light" : "dark";
  setTheme(theme);
  localStorage.setItem(STORAGE_KEY, theme);
}

// A page's connection to its event stream, and the words that show whether it is live.

import { openEventStream } from "./event_stream.js";
import { h } from "./dom.js";

export const liveIndicator = () => h("span.live", { role: "status" });

/** Follow a stream and show its state in an indicator; the arguments are those of `openEventStream`. */
export function followLive(indicator, path, handlers, lastSeq) {
  const show = (text, lost = false) => {
    indicator.textContent = text;
    indicator.classList.toggle("lost", lost);
  };
  openEventStream(
    path,
    {
      ...handlers,
      open() {
        const reconnected = indicator.classList.contains("lost");
        show("live");
        handlers.open?.(reconnected);
      },
      lost: (error) => show(error.status ? error.message : "reconnecting…", true),
      end() {
        show("");
        handlers.end?.();
      },
    },
    lastSeq,
  );
}

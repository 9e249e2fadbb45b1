// A page that is opened from a disk may start no worker, which the search is. There, run it in a hidden frame instead.
if (location.protocol === "file:") {
  const later = (target, data) => setTimeout(() => target.dispatchEvent(new MessageEvent("message", { data })));

  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      // as a property too, which an EventTarget alone does not call
      for (const name of ["message", "error"]) this.addEventListener(name, (event) => this[`on${name}`]?.(event));
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.documentElement.append(frame);
      this.inside = frame.contentWindow;
      // What the script calls to answer. As from a worker, the answer is a copy, and comes in a turn of its own.
      this.inside.postMessage = (data) => later(this, structuredClone(data));
      this.inside.importScripts = (...urls) =>
        urls.reduce((before, one) => before.then(() => this.run(one)), Promise.resolve());
      this.ready = this.run(url);
      this.ready.catch(() => this.dispatchEvent(new Event("error")));
    }

    run(url) {
      return new Promise((resolve, reject) => {
        const script = this.inside.document.createElement("script");
        script.src = url;
        script.onload = resolve;
        script.onerror = reject;
        this.inside.document.documentElement.append(script);
      });
    }

    postMessage(data) {
      const copy = structuredClone(data);
      this.ready.then(() => later(this.inside, copy));
    }

    terminate() {
      this.inside.frameElement.remove();
    }
  };
}

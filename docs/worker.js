// Browsers start no worker from the disk, and the search is one: there, a hidden frame runs its script.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.append(this.frame);
      const inside = this.inside = this.frame.contentWindow;
      const load = url => new Promise((resolve, reject) => {
        const script = inside.document.createElement("script");
        Object.assign(script, {src: new URL(url, document.baseURI), onload: resolve, onerror: reject});
        inside.document.body.append(script);
      });
      inside.importScripts = (...urls) =>
        urls.reduce((before, url) => before.then(() => load(url)), Promise.resolve());
      inside.postMessage = data => setTimeout(() => {
        const message = new MessageEvent("message", {data: structuredClone(data)});
        this.dispatchEvent(message);
        this.onmessage?.(message);
      });
      this.loaded = load(address);
    }

    postMessage(data) {
      const copy = structuredClone(data);  // as a worker gets it
      this.loaded.then(() => this.inside.dispatchEvent(new MessageEvent("message", {data: copy})));
    }

    terminate() {
      this.frame.remove();
    }
  };
}

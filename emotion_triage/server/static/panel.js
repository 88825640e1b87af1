// <emotion-triage-panel src="https://triage.example.com/agent/enter?link=...">: the agent's panel in another page.
"use strict";

class EmotionTriagePanel extends HTMLElement {
  static observedAttributes = ["src"];

  connectedCallback() {
    this.frame = document.createElement("iframe");
    this.frame.title = this.getAttribute("title") || "emotion-triage";
    Object.assign(this.frame.style, { width: "100%", height: "100%", border: "0" });
    if (!this.style.display) this.style.display = "block";
    // the panel answers whoever greets it, if its server names this page
    this.greet = () => this.frame.contentWindow.postMessage("emotion-triage", this.origin);
    this.hear = (event) => {
      if (event.source !== this.frame.contentWindow || event.origin !== this.origin) return;
      if (event.data?.source === "emotion-triage") this.dispatchEvent(new CustomEvent("state", { detail: event.data }));
    };
    this.frame.addEventListener("load", this.greet);
    addEventListener("message", this.hear);
    this.attributeChangedCallback();
    this.replaceChildren(this.frame);
  }

  disconnectedCallback() {
    removeEventListener("message", this.hear);
  }

  attributeChangedCallback() {
    if (!this.frame || !this.getAttribute("src")) return;
    const address = new URL(this.getAttribute("src"), document.baseURI);
    this.origin = address.origin;
    this.frame.src = address.href;
  }
}

customElements.define("emotion-triage-panel", EmotionTriagePanel);

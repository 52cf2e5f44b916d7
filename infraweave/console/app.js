const answer = await fetch(new URL("../healthz", document.baseURI));
const { status } = await answer.json();
document.querySelector("#about").textContent = `The server says: ${status}.`;

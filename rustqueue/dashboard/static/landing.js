// The example is for the address under which this page was asked for.
const example = document.getElementById("example");
example.textContent = example.textContent.replaceAll("http://localhost:6790", location.origin);

document.querySelector("#app")!.textContent = "Tolkyn";

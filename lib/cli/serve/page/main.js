// @ts-check
const answer = await fetch("api/runs");
document.body.append(await answer.text());

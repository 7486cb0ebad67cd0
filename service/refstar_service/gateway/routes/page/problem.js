// A problem of the service in words for whoever sits before the page.

import { slugOf } from "./service.js";
import { otherProblem, problems } from "./words.js";

/** [what happened, what to do] */
export function sayProblem(problem) {
  const slug = slugOf(problem);
  return slug || !problem.status ? problems[slug] || otherProblem(problem.title) : otherProblem(problem.title);
}

// Which model the service takes, as restoration/rules.py chooses it: only that model's knobs are sent.

/** What a request for exactly this model says. */
export const fullName = (model) => model.name + "@" + model.version;

/** `models` as the service lists them; `name`: the full one that is asked for, or ""; `references`: how many there are. */
export function chooseModel(models, name, references) {
  const unfit = (model) => Number(references ? !model.max_references : model.needs_references);
  const rank = (model) => model.ranks[references ? "with_references" : "without_references"] || Infinity;
  const order = (a, b) => unfit(a) - unfit(b) || Math.sign(rank(a) - rank(b)) || (a.name < b.name ? -1 : 1);
  return models.find((model) => fullName(model) === name) || models.filter((model) => model.default).sort(order)[0];
}

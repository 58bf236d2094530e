"""COMPOSES: the loop and the commands. Start at `pipelines.loop`.

The steps lie here, one module each: admit, route, write, guard, publish, rollback, audit, answer. What each of them is
made of lies in a folder of its own:

- `admission`: what comes in; `judging`: what a model is asked; `releasing`: what a release is made of and becomes
- `answering`: how a question is answered; `auditing`: what is checked and told afterwards
- `requests`: who asked and who allowed it; `forgetting`: how content goes
- `running`: servers, schedules, models; `bench`: scores of editors; `commands`: the command line
"""

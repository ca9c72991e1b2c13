"""What must not be logged is turned into what may be, before it is proposed."""

import msgspec

from rustqueue.gateway.preparing import Prepared
from rustqueue.model.commands import Progress
from rustqueue.model.errors import ValidationFailed
from rustqueue.model.replies import Reply
from tests.unit.gateway_world import World

_SECRET = "canary-81d2"


def hidden(command: Progress) -> Prepared:
    """The message of a progress taken for a secret."""
    if command.message == "bad":
        raise ValidationFailed("'message' cannot be sealed", "message")

    def finish(reply: Reply) -> Reply:
        return msgspec.structs.replace(reply, cancel_requested=True)

    return Prepared(msgspec.structs.replace(command, message="sealed"), finish)


def leased(world: World) -> str:
    world.push("mail")
    pulled = world.ask("pull", queue="mail")
    world.run()
    return str(pulled.reply["job"]["id"])


def test_what_is_logged_and_applied_is_the_prepared_command() -> None:
    # Given a job that runs, and a gateway that prepares a verb
    world = World(preparing={Progress: hidden})
    job_id = leased(world)
    # When the verb comes with a secret
    asked = world.ask("progress", id=job_id, progress=7, message=_SECRET)
    world.run()
    # Then the log has the other text, so has the machine, and the reply was completed
    assert not any(_SECRET.encode() in text for text in world.log.logged)
    assert asked.reply["cancel_requested"] is True
    assert [line["message"] for line in world.ask("get", id=job_id).reply["job"]["logs"]] == ["sealed"]


def test_a_mistake_found_while_preparing_is_a_refusal() -> None:
    world = World(preparing={Progress: hidden})
    job_id = leased(world)
    entries = len(world.log.entries)
    asked = world.ask("progress", id=job_id, progress=7, message="bad")
    assert asked.code == "VALIDATION_ERROR"
    world.run()
    assert len(world.log.entries) == entries


def test_a_refused_command_is_answered_as_it_is() -> None:
    world = World(preparing={Progress: hidden})
    asked = world.ask("progress", id="01980000-0000-7000-8000-000000000000", progress=7, message=_SECRET)
    world.run()
    assert asked.code == "JOB_NOT_FOUND"

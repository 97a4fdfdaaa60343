"""The signer's part of opening an epoch: a key and a state for the new origin.

The server has said in the log that it goes on under another origin (services/
epoch_service.py). Whoever holds the key decides by himself whether he follows.
"""

from dataclasses import dataclass
from pathlib import Path

from models import blockchain_log
from models.database import Database
from services.checkpoint_files import (
    Files,
    begin_epoch_keys,
    read_keys,
    read_state,
    set_state_aside,
)
from services.checkpointer import RefusedError
from services.epochs import BrokenEpochsError, Epoch, read_epochs
from utils.signed_note import VerifierKey


@dataclass(frozen=True, slots=True)
class EpochKeys:
    """The epoch that is to be signed, its key, and where the old state is kept."""

    epoch: Epoch
    key: VerifierKey
    old_state: Path | None


def begin_epoch(database: Database, files: Files) -> EpochKeys:
    """Follow the log into the epoch that it has opened. The caller holds the lock.

    It can be repeated after an interruption. Raises RefusedError and
    CheckpointFileError.
    """
    try:
        with database.read() as tx:
            epochs, head = read_epochs(tx), blockchain_log.get_head(tx)
    except BrokenEpochsError as error:
        raise RefusedError(f"The log does not say its epoch: {error}.") from error
    epoch, state, keys = epochs[-1], read_state(files.state), read_keys(files.keys)
    name = keys.signers[0].verifier.name
    if head is None or head.origin != epoch.origin:
        raise RefusedError(
            "The log's head names another origin than its entries: that was no command."
        )
    if state is not None and state.log_id != head.log_id.hex():
        raise RefusedError(f"The state is of another log, {state.log_id}.")
    if state is not None and state.origin == epoch.origin:
        raise RefusedError(f"The state is of {epoch.origin} already: nothing to begin.")
    if name not in {each.origin for each in epochs}:
        raise RefusedError(f"The key is of {name}, which is no origin of this log.")
    begin_epoch_keys(
        files.keys,
        epoch.origin,
        last_size=0 if state is None else state.size,
        from_size=epoch.first_seq + 1,
    )
    old_state = set_state_aside(files.state, epoch.number - 1)
    return EpochKeys(epoch, read_keys(files.keys).verifiers[0], old_state)

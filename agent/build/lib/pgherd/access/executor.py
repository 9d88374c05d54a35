"""Carries the plan out, on the primary, over a superuser's connection. Repeating it changes nothing.

One user's mistake does not hold the others up: what became of each is in the outcome. The order is that of needs:
roles, databases (which they own), what roles get in them, and last what is to go, databases before the roles that
own them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import msgspec
import psycopg

from pgherd.access import look, plan
from pgherd.access.passwords import Passwords
from pgherd.access.plan import Step
from pgherd.access.removal import remove
from pgherd.access.sessions import Connect, Connection, Failed, beside, connected, failure, prepare, run
from pgherd.model.access import Code, Declared, DeclaredDatabase, DeclaredUser, Said, SecretSeen
from pgherd.model.settings import InvalidSetting


class Done(msgspec.Struct, frozen=True):
    """Something that was changed, and for whom (as model.access.Report.wrong names it)."""

    about: str
    text: str


class Outcome(msgspec.Struct, frozen=True):
    """What was changed, and what became of everything that is declared."""

    done: tuple[Done, ...]
    users: Mapping[str, Said]
    databases: Mapping[str, Said]


async def apply(
    connection: Connection,
    declared: Declared,
    secrets: Mapping[str, SecretSeen | None],
    passwords: Passwords,
    inside: bool = True,
    connect: Connect | None = None,
) -> Outcome:
    """Make roles and databases as declared. `connection` is a superuser's, to database `postgres` of the primary;
    `secrets` is by name. Without `inside` no database is entered: its schemas and extensions are not looked at."""
    await prepare(connection)
    work = _Pass(connection, declared, connect or beside(connection))
    await work.roles(secrets, passwords)
    await work.databases()
    await work.rights(inside)
    await work.removals()
    return Outcome(tuple(work.done), work.said_users, work.said_databases)


class _Pass:
    """One pass; lives as long as it takes. What is wrong is kept by user and database, and the rest goes on."""

    def __init__(self, connection: Connection, declared: Declared, connect: Connect) -> None:
        self._connection, self._connect = connection, connect
        self._present = [user for user in declared.users if user.state == "present"]
        self._absent = [user for user in declared.users if user.state == "absent"]
        self._databases = plan.databases(declared)
        self.done: list[Done] = []
        self._about = ""
        self.said_users = {user.name: Said(Code.APPLIED) for user in self._present}
        self.said_databases = {each.name: Said(Code.APPLIED) for each in self._databases}

    async def roles(self, secrets: Mapping[str, SecretSeen | None], passwords: Passwords) -> None:
        for user in tuple(self._present):
            async with self._noted(self.said_users, user.name):
                plan.check_user(user)
        self._present = [user for user in self._present if self.said_users[user.name].code is Code.APPLIED]
        names = [user.name for user in self._present]
        there = await look.roles(self._connection, names)
        for user in self._present:
            async with self._noted(self.said_users, user.name):
                await self._role(user, secrets.get(user.secret), passwords, there.get(user.name))
        there = await look.roles(self._connection, names)
        self._present = [user for user in self._present if user.name in there]
        member_of = await look.memberships(self._connection, names)
        for user in self._present:
            async with self._noted(self.said_users, user.name):
                await self._all(plan.memberships(user, member_of.get(user.name, frozenset())))

    async def _role(
        self, user: DeclaredUser, secret: SecretSeen | None, passwords: Passwords, has: plan.Role | None
    ) -> None:
        options = plan.check_user(user)
        if has is not None and options.valid_until is not None:
            has = await look.with_time(self._connection, user.name, has, options.valid_until)
        wanted = passwords.wanted(user.name, user.secret, secret, has.password if has else None)
        if has is None and wanted.verifier is None:
            self.said_users[user.name] = Said(wanted.code, wanted.text)
            return  # a role without a password would be of use to nobody
        await self._all(plan.role(user, wanted.verifier, options, has))
        self.said_users[user.name] = Said(wanted.code, wanted.text, wanted.version)

    async def _there(self) -> dict[str, plan.Database]:
        names = [each.name for each in self._databases] + [plan.ADMIN]
        return await look.databases(self._connection, names, [user.name for user in self._present])

    async def databases(self) -> None:
        there = await self._there()
        for each in self._databases:
            if each.state == "present":
                async with self._noted(self.said_databases, each.name):
                    await self._database(each, there.get(each.name))

    async def _database(self, declared: DeclaredDatabase, has: plan.Database | None) -> None:
        plan.check_database(declared)
        await self._all(plan.database(declared, has))
        if has is not None and (why := plan.differs(declared, has)):
            text = f"{why}, which cannot be changed in a database that is there"
            self.said_databases[declared.name] = Said(Code.DATABASE_DIFFERS, text)

    async def rights(self, inside: bool) -> None:
        """Privileges on databases, and what is made in them."""
        there = await self._there()
        for user in self._present:
            async with self._noted(self.said_users, user.name):
                await self._all(plan.grants(user, there))
        if not inside:
            return
        schemas = plan.schemas(self._present)
        declared = {each.name: each for each in self._databases if each.state == "present"}
        for name in dict.fromkeys((*schemas, *declared)):
            extensions = declared[name].extensions if name in declared else ()
            if name in there and (name in schemas or extensions):
                async with self._noted(self.said_databases, name):
                    await self._inside(name, schemas.get(name, ()), {each.name: each.schema for each in extensions})

    async def _inside(self, name: str, users: Iterable[DeclaredUser], extensions: Mapping[str, str]) -> None:
        async with connected(self._connect, name) as database:
            users = tuple(users)
            there = await look.schemas(database, [user.name for user in users])
            for user in users:
                if user.name not in there:
                    async with self._noted(self.said_users, user.name):
                        await self._all((plan.schema(user, name),), database)
            has = await look.extensions(database, list(extensions)) if extensions else frozenset()
            for extension in (each for each in extensions if each not in has):
                # Where an extension names no schema of its own it goes where a person's would.
                await database.execute("SET search_path = public")
                await self._all((plan.extension(extension, extensions[extension], name),), database)

    async def removals(self) -> None:
        there = await self._there()
        for each in self._databases:
            if each.state == "absent":
                async with self._noted(self.said_databases, each.name):
                    plan.check_database(each)
                    await self._all((plan.drop(each),) if each.name in there else ())
                    self.said_databases[each.name] = Said(Code.ABSENT)
        for user in self._absent:
            async with self._noted(self.said_users, user.name):
                plan.check_user(user)
                self.said_users[user.name] = await remove(self._connection, user, self._connect, self._note)

    async def _all(self, steps: Iterable[Step], connection: Connection | None = None) -> None:
        for step in steps:
            await run(connection or self._connection, step)
            self._note(step.text)

    def _note(self, text: str) -> None:
        self.done.append(Done(self._about, text))

    @asynccontextmanager
    async def _noted(self, said: dict[str, Said], name: str) -> AsyncIterator[None]:
        """The block is about `name`, and what goes wrong in it is said there; a lost connection ends the pass."""
        before, self._about = self._about, f"{'user' if said is self.said_users else 'database'} {name}"
        try:
            yield
        except InvalidSetting as error:
            said[name] = Said(Code.DECLARATION_REFUSED, str(error))
        except Failed as error:
            said[name] = Said(Code.POSTGRESQL_REFUSED if error.lasting else Code.TRYING, str(error))
        except psycopg.Error as error:
            found = failure(error)
            said[name] = Said(Code.POSTGRESQL_REFUSED if found.lasting else Code.TRYING, str(found))
        finally:
            self._about = before
        if self._connection.closed:
            raise ConnectionError("the connection to PostgreSQL has ended")

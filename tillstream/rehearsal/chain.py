"""A whole chain in one directory: shops with a MySQL server each, and the two files that put them together."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pymysql
import yaml

from tillstream import processes
from tillstream.config import Config, load_config
from tillstream.errors import RefusedError
from tillstream.rehearsal import shop as pos
from tillstream.rehearsal.mysql import DockerInstall, MySQLInstall, MySQLServer

USER = "tillstream"
_FIRST_PLACE = (31.23, 121.47)  # the other shops lie a kilometre north of one another
_STREETS = (
    "中山路", "人民广场", "南京路", "解放碑", "春熙路", "西湖", "五道口", "三里屯", "天河城", "宽窄巷",
    "鼓楼", "外滩", "中关村", "江汉路", "观前街", "太平街", "大雁塔", "曾厝垵", "北京路", "步行街",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """One shop: `index` counts from 0, and shop 0 is headquarters."""

    index: int
    id: str
    name: str
    server: MySQLServer

    def connect(self) -> "pymysql.Connection[Any]":
        """As its tills connect: nothing is committed by itself. UPDATE counts the rows that it really changed."""
        return self.server.connect(pos.DATABASE, autocommit=False)

    def is_followed(self) -> bool:
        """Whether somebody reads the shop's log at this moment."""
        dumping = "SELECT count(*) FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%%'"
        return bool(self.server.execute(dumping)[0][0])

    def points(self) -> Decimal:
        found = self.server.execute(f"SELECT coalesce(sum(points), 0) FROM {pos.DATABASE}.members")
        return Decimal(found[0][0])


class Chain:
    """Shops that start and stop together; the directory keeps them over that."""

    def __init__(self, directory: Path, install: MySQLInstall | DockerInstall, *, stores: int, seed: int) -> None:
        self.directory = directory.absolute()
        self.shops = tuple(self._shop(index, install) for index in range(stores))
        self._seed = seed

    @property
    def config_path(self) -> Path:
        return self.directory / "tillstream.yaml"

    def start(self, capture: Mapping[str, Any] | None = None) -> Config:
        """Every shop open with its goods in; the configuration that the command would read, read back.

        `capture` is what tillstream.yaml says under that name, if it is not the engines of this process.
        """
        processes.make_directory(self.directory)
        self._require_empty()
        # a server's first seconds are spent on its data files: more than a few at once only wait for each other
        self._everywhere(self._open, at_once=4)
        if capture is not None:
            processes.hand_over(self.directory / "secrets")  # Kafka Connect reads them itself
        self._write_files(capture)
        return load_config(self.config_path)

    def stop(self) -> None:
        self._everywhere(lambda shop: shop.server.stop(), at_once=len(self.shops))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _shop(self, index: int, install: MySQLInstall | DockerInstall) -> Shop:
        store = f"s{index + 1:03}"
        name = f"{_STREETS[index]}店" if index < len(_STREETS) else f"第{index + 1}店"
        # UTC, whatever the machine's clock says: `updated_at` has no zone of its own and is compared between shops
        options = {"default-time-zone": "+00:00"}
        server = MySQLServer(install, self.directory / "shops" / store, server_id=index + 1, options=options)
        return Shop(index=index, id=store, name=name, server=server)

    def _require_empty(self) -> None:
        if self.config_path.exists() or (self.directory / "shops").exists():
            raise RefusedError(f"{self.directory} holds a chain already; name an empty directory or a new one")

    def _everywhere(self, act: Callable[[Shop], None], *, at_once: int) -> None:
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(act, self.shops))

    def _open(self, shop: Shop) -> None:
        shop.server.start()
        with closing(shop.server.connect()) as connection:
            pos.lay_out(connection, pos.DATABASE, seed=self._seed, store=shop.index)
        self._keep_password(shop, shop.server.create_capture_user(USER))

    def _keep_password(self, shop: Shop, password: str) -> None:
        file = self.directory / "secrets" / shop.id
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(password)  # bare: Kafka Connect would take a newline for a part of it

    def _write_files(self, capture: Mapping[str, Any] | None) -> None:
        (self.directory / "policies.yaml").write_text(pos.POLICIES, encoding="utf-8")
        settings = {
            "data": "data",
            "warehouse": "embedded",
            "capture": dict(capture) if capture is not None else "embedded",
            "policies": "policies.yaml",
            "business": pos.BUSINESS,
            "metrics": {"port": 0},
            "defaults": {"user": USER, "database": pos.DATABASE, "timezone": "UTC"},
            "stores": [
                {
                    "id": shop.id,
                    "name": shop.name,
                    "host": shop.server.host,
                    "port": shop.server.port,
                    "password": {"file": f"secrets/{shop.id}"},
                    "location": [round(_FIRST_PLACE[0] + 0.01 * shop.index, 2), _FIRST_PLACE[1]],
                }
                for shop in self.shops
            ],
        }
        text = yaml.safe_dump(settings, allow_unicode=True, sort_keys=False)
        self.config_path.write_text(text, encoding="utf-8")

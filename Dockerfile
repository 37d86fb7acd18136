# docker build -t sendoff .    How to run it: docs/how-to/run-in-production.md#docker
#
# The lock file is of Python 3.11. Everything is downloaded with its hash checked, also what only tests need; of that,
# what the service needs is installed.
FROM python:3.11-slim AS build
WORKDIR /build
COPY requirements.lock ./
RUN pip download --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
    --dest /wheels -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY destinations destinations
COPY schemas schemas
RUN python -m venv --without-pip /opt/sendoff \
 && pip --python /opt/sendoff/bin/python install --quiet --disable-pip-version-check --no-index --find-links /wheels .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin sendoff \
 && install --directory --owner sendoff --mode 0700 /data
COPY --from=build /opt/sendoff /opt/sendoff
ENV PATH=/opt/sendoff/bin:$PATH
# sendoff.yaml and functions/ are to be mounted here.
WORKDIR /app
USER sendoff
# The database: a container that is replaced must not take it along.
VOLUME /data
# The service drains. `docker stop` waits 10 seconds before it kills: give it --stop-timeout 60, longer than drain_grace.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8888/healthz', timeout=4)"]
# As process 1 it needs no init: the guard reaps what functions leave behind, and only the service is told to stop.
ENTRYPOINT ["sendoff"]
# It listens on loopback, as long as there are no keys: whom to let in, and how, is for the one who runs it to say.
CMD ["serve", "--store", "sqlite:////data/sendoff.db"]

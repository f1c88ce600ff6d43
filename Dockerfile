# One image for every role; compose.yaml says which is which.
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* && useradd --create-home patron
WORKDIR /patron
COPY scripts scripts
COPY requirements.lock .
RUN scripts/install.sh requirements.lock
COPY patron.py LICENSE README.md ./
COPY backup backup
COPY commands commands
COPY console console
COPY core core
COPY decisions decisions
COPY events events
COPY features features
COPY models models
COPY monitoring monitoring
COPY records records
COPY training training
COPY serving serving
ENV PATH=/patron/.venv/bin:$PATH PATRON_HOME=/home/patron/shop TZ=UTC
RUN mkdir /home/patron/shop && chown patron /home/patron/shop
USER patron
ENTRYPOINT ["patron"]
CMD ["up"]

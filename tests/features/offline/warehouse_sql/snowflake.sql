SELECT
  "t3"."customer_key",
  CONVERT_TIMEZONE('UTC', "t2"."timestamp") AS "timestamp",
  CONVERT_TIMEZONE('UTC', "t2"."received_at") AS "received_at",
  CAST(DATEDIFF(
    DAY,
    DATE_FROM_PARTS(1970, 1, 1),
    TO_DATE(CONVERT_TIMEZONE('Europe/Berlin', "t2"."timestamp"))
  ) AS INT) AS "day",
  COALESCE(
    "t2"."order_id",
    CONCAT(
      CONCAT(CAST("t3"."customer_key" AS VARCHAR), '-'),
      CAST(CAST(DATEDIFF(
        DAY,
        DATE_FROM_PARTS(1970, 1, 1),
        TO_DATE(CONVERT_TIMEZONE('Europe/Berlin', "t2"."timestamp"))
      ) AS INT) AS VARCHAR)
    )
  ) AS "order_id",
  "t2"."product_id",
  "t2"."category",
  "t2"."quantity",
  "t2"."amount",
  "t2"."discount",
  CONVERT_TIMEZONE('UTC', "t2"."replaced_at") AS "replaced_at"
FROM "source" AS "t2"
INNER JOIN "customers" AS "t3"
  ON "t2"."customer_id" = "t3"."customer_id";

WITH "t8" AS (
  SELECT
    "t7"."customer_key",
    "t7"."as_of",
    "t7"."order_id",
    MAX("t7"."days_ago") AS "days_ago",
    MIN("t7"."day") AS "day",
    SUM("t7"."amount") AS "amount",
    SUM("t7"."quantity") AS "items"
  FROM (
    SELECT
      "t6"."customer_key",
      "t6"."as_of",
      "t6"."as_of_day",
      "t6"."timestamp",
      "t6"."received_at",
      "t6"."day",
      "t6"."order_id",
      "t6"."product_id",
      "t6"."category",
      "t6"."quantity",
      "t6"."amount",
      "t6"."discount",
      "t6"."as_of_day" - "t6"."day" AS "days_ago"
    FROM (
      SELECT
        "t2"."customer_key",
        "t2"."as_of",
        "t2"."as_of_day",
        "t3"."timestamp",
        "t3"."received_at",
        "t3"."day",
        "t3"."order_id",
        "t3"."product_id",
        "t3"."category",
        "t3"."quantity",
        "t3"."amount",
        "t3"."discount"
      FROM "population" AS "t2"
      INNER JOIN "order_lines" AS "t3"
        ON "t2"."customer_key" = "t3"."customer_key"
    ) AS "t6"
    WHERE
      "t6"."timestamp" < "t6"."as_of" AND "t6"."received_at" <= "t6"."as_of"
  ) AS "t7"
  GROUP BY
    1,
    2,
    3
)
SELECT
  "t16"."customer_key",
  "t16"."as_of",
  COALESCE("t16"."orders_90d", 0) AS "orders_90d",
  "t16"."median_gap_days"
FROM (
  SELECT
    "t5"."customer_key",
    "t5"."as_of",
    "t11"."orders_90d",
    "t15"."median_gap_days"
  FROM (
    SELECT
      "t0"."customer_key",
      "t0"."as_of"
    FROM "population" AS "t0"
  ) AS "t5"
  LEFT OUTER JOIN (
    SELECT
      "t9"."customer_key",
      "t9"."as_of",
      COUNT_IF("t9"."days_ago" <= 90) AS "orders_90d"
    FROM "t8" AS "t9"
    GROUP BY
      1,
      2
  ) AS "t11"
    ON "t5"."customer_key" = "t11"."customer_key" AND "t5"."as_of" = "t11"."as_of"
  LEFT OUTER JOIN (
    SELECT
      "t13"."customer_key",
      "t13"."as_of",
      MEDIAN("t13"."gap_days") AS "median_gap_days"
    FROM (
      SELECT
        *
      FROM (
        SELECT
          "t9"."customer_key",
          "t9"."as_of",
          "t9"."order_id",
          "t9"."days_ago",
          "t9"."day",
          "t9"."amount",
          "t9"."items",
          LAG("t9"."days_ago") OVER (
            PARTITION BY "t9"."customer_key", "t9"."as_of"
            ORDER BY "t9"."days_ago" DESC NULLS LAST, "t9"."order_id" ASC
          ) - "t9"."days_ago" AS "gap_days"
        FROM "t8" AS "t9"
      ) AS "t12"
      WHERE
        "t12"."gap_days" IS NOT NULL
    ) AS "t13"
    GROUP BY
      1,
      2
  ) AS "t15"
    ON "t5"."customer_key" = "t15"."customer_key" AND "t5"."as_of" = "t15"."as_of"
) AS "t16";

SELECT
  CASE
    WHEN LOWER(TRIM("t0"."text", CONCAT(' \t\n\r\f', CHR(  11)))) IN (
      'true',
      'yes',
      'y',
      't',
      '1',
      'on',
      'ja',
      'j',
      'oui',
      'o',
      'si',
      'sí',
      's',
      'sim',
      'tak',
      'ano',
      'да',
      '是',
      '是的',
      '有',
      '真',
      'はい',
      '예',
      '네'
    )
    THEN TRUE
    WHEN LOWER(TRIM("t0"."text", CONCAT(' \t\n\r\f', CHR(  11)))) IN (
      'false',
      'no',
      'n',
      'f',
      '0',
      'off',
      'nein',
      'nee',
      'non',
      'nej',
      'nei',
      'não',
      'nao',
      'nie',
      'ne',
      'нет',
      '否',
      '不',
      '不是',
      '无',
      '假',
      'いいえ',
      '아니요'
    )
    THEN FALSE
    ELSE NULL
  END AS "flag",
  TRY_TO_DOUBLE(
    IFF(
      REGEXP_LIKE(
        TRIM("t0"."text", CONCAT(' \t\n\r\f', CHR(  11))),
        '.*(^[+-]?([0-9]{1,30}(\\.[0-9]{0,30})?|\\.[0-9]{1,30})([eE][+-]?[0-9]{1,2})?$).*',
        'cs'
      ),
      TRIM("t0"."text", CONCAT(' \t\n\r\f', CHR(  11))),
      NULL
    )
  ) AS "number",
  COALESCE(
    DATEDIFF(
      DAY,
      DATE_FROM_PARTS(1970, 1, 1),
      TRY_TO_DATE(
        REGEXP_SUBSTR(
          TRIM("t0"."text", CONCAT(' \t\n\r\f', CHR(  11))),
          '^([0-9]{4}-[0-9]{2}-[0-9]{2})',
          1,
          1,
          'ce',
          1
        ),
        'YYYY-MM-DD'
      )
    ),
    CAST(FLOOR(
      (
        CAST(TRY_TO_DOUBLE(
          IFF(
            REGEXP_LIKE(
              TRIM("t0"."text", CONCAT(' \t\n\r\f', CHR(  11))),
              '.*(^[0-9]{9,10}(\\.[0-9]+)?$).*',
              'cs'
            ),
            TRIM("t0"."text", CONCAT(' \t\n\r\f', CHR(  11))),
            NULL
          )
        ) AS DOUBLE) / (
          86400
        )
      )
    ) AS BIGINT),
    CAST(FLOOR(
      (
        CAST(TRY_TO_DOUBLE(
          IFF(
            REGEXP_LIKE(TRIM("t0"."text", CONCAT(' \t\n\r\f', CHR(  11))), '.*(^[0-9]{12,13}$).*', 'cs'),
            TRIM("t0"."text", CONCAT(' \t\n\r\f', CHR(  11))),
            NULL
          )
        ) AS DOUBLE) / (
          86400000
        )
      )
    ) AS BIGINT)
  ) AS "day",
  TRY_TO_NUMBER(CAST(GET(PARSE_JSON("t0"."text"), 'rating') AS VARCHAR), 9, 4) AS "rating",
  TRY_PARSE_JSON("t0"."text") IS NULL AS "json",
  CAST(FLOOR("t0"."number") + CASE
    WHEN (
      "t0"."number" - FLOOR("t0"."number")
    ) > 0.5
    OR (
      (
        "t0"."number" - FLOOR("t0"."number")
      ) = 0.5
      AND (
        FLOOR(FLOOR("t0"."number") * 0.5) * 2
      ) <> FLOOR("t0"."number")
    )
    THEN 1
    ELSE 0
  END AS BIGINT) AS "whole",
  CAST("t0"."number" AS DECIMAL(18, 4)) AS "exact",
  (
    CAST("t0"."count" AS DOUBLE) / (
      3
    )
  ) AS "share",
  CAST(FLOOR((
    CAST("t0"."count" AS DOUBLE) / (
      3
    )
  )) AS BIGINT) AS "units",
  GREATEST_IGNORE_NULLS("t0"."count", 3) AS "later",
  CAST(CAST("t0"."is_so" AS INT) AS DOUBLE) AS "one"
FROM "rows" AS "t0";

SELECT
  *
FROM (
  SELECT
    "t5"."customer_key",
    "t5"."as_of",
    "t10"."favourite_category"
  FROM (
    SELECT
      "t0"."customer_key",
      "t0"."as_of"
    FROM "population" AS "t0"
  ) AS "t5"
  LEFT OUTER JOIN (
    SELECT
      "t8"."customer_key",
      "t8"."as_of",
      CAST(GET_PATH(
        GET(
          ARRAY_AGG(
            IFF(
              "t8"."spend" > 0,
              OBJECT_CONSTRUCT_KEEP_NULL('spend', -(
                "t8"."spend"
              ), 'category', "t8"."category"),
              NULL
            )
          ) WITHIN GROUP (ORDER BY
            -(
              "t8"."spend"
            ) ASC,
            "t8"."category" ASC),
          0
        ),
        'category'
      ) AS VARCHAR) AS "favourite_category"
    FROM (
      SELECT
        "t7"."customer_key",
        "t7"."as_of",
        "t7"."category",
        MAX("t7"."days_ago") AS "days_ago",
        SUM("t7"."amount") AS "spend",
        COALESCE(SUM(IFF("t7"."days_ago" <= 90, "t7"."amount", NULL)), 0) AS "spend_90d"
      FROM (
        SELECT
          "t6"."customer_key",
          "t6"."as_of",
          "t6"."as_of_day",
          "t6"."timestamp",
          "t6"."received_at",
          "t6"."day",
          "t6"."order_id",
          "t6"."product_id",
          "t6"."category",
          "t6"."quantity",
          "t6"."amount",
          "t6"."discount",
          "t6"."as_of_day" - "t6"."day" AS "days_ago"
        FROM (
          SELECT
            "t2"."customer_key",
            "t2"."as_of",
            "t2"."as_of_day",
            "t3"."timestamp",
            "t3"."received_at",
            "t3"."day",
            "t3"."order_id",
            "t3"."product_id",
            "t3"."category",
            "t3"."quantity",
            "t3"."amount",
            "t3"."discount"
          FROM "population" AS "t2"
          INNER JOIN "order_lines" AS "t3"
            ON "t2"."customer_key" = "t3"."customer_key"
        ) AS "t6"
        WHERE
          "t6"."timestamp" < "t6"."as_of"
          AND "t6"."received_at" <= "t6"."as_of"
          AND "t6"."category" IS NOT NULL
      ) AS "t7"
      GROUP BY
        1,
        2,
        3
    ) AS "t8"
    GROUP BY
      1,
      2
  ) AS "t10"
    ON "t5"."customer_key" = "t10"."customer_key" AND "t5"."as_of" = "t10"."as_of"
) AS "t11";

# A bucket tells a queue, a Lambda tells the service: S3 or EventBridge -> SQS -> Lambda -> HTTPS.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  function_timeout_s = 30
  batching_window_s  = 5
  retention_s        = 14 * 24 * 3600
  bucket_arn         = "arn:${data.aws_partition.current.partition}:s3:::${var.bucket_name}"
  alarm_actions      = var.alarm_topic_arn == "" ? [] : [var.alarm_topic_arn]

  # S3 wants all but its "safe characters" encoded; EventBridge wants the prefix as it is.
  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
  notification_prefix = join("", [
    for part in regexall("[\\w!.*'()/-]+|[^\\w!.*'()/-]+", var.prefix) :
    can(regex("^[\\w!.*'()/-]", part)) ? part : replace(urlencode(part), "~", "%7E")
  ])

  sender     = var.use_event_bridge ? "events.amazonaws.com" : "s3.amazonaws.com"
  sender_arn = var.use_event_bridge ? aws_cloudwatch_event_rule.objects[0].arn : local.bucket_arn

  alarms = {
    dead-letters = {
      queue       = aws_sqs_queue.dead_letters.name
      metric      = "ApproximateNumberOfMessagesVisible"
      threshold   = 0
      description = "Notifications of S3 failed for good. The next scan of s3-to-milvus finds the objects all the same."
    }
    age = {
      queue       = aws_sqs_queue.notifications.name
      metric      = "ApproximateAgeOfOldestMessage"
      threshold   = 900
      description = "Notifications of S3 wait for more than 15 minutes. Is s3-to-milvus there, and is the secret right?"
    }
  }
}

# ---- queues

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.name}-dead"
  message_retention_seconds = local.retention_s
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "notifications" {
  name                       = var.name
  visibility_timeout_seconds = 6 * local.function_timeout_s + 2 * local.batching_window_s
  message_retention_seconds  = local.retention_s
  sqs_managed_sse_enabled    = true

  # 100 x 190 s: the service may be away for five hours. What it can't read it takes all the same, so nothing loops.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 100
  })
}

data "aws_iam_policy_document" "sender" {
  for_each = {
    notifications = aws_sqs_queue.notifications.arn
    dead_letters  = aws_sqs_queue.dead_letters.arn
  }

  statement {
    sid       = "SenderMaySend"
    actions   = ["sqs:SendMessage"]
    resources = [each.value]

    principals {
      type        = "Service"
      identifiers = [local.sender]
    }
    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.sender_arn]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [data.aws_caller_identity.current.account_id]
    }
  }
}

resource "aws_sqs_queue_policy" "notifications" {
  queue_url = aws_sqs_queue.notifications.id
  policy    = data.aws_iam_policy_document.sender["notifications"].json
}

resource "aws_sqs_queue_policy" "dead_letters" {
  count     = var.use_event_bridge ? 1 : 0
  queue_url = aws_sqs_queue.dead_letters.id
  policy    = data.aws_iam_policy_document.sender["dead_letters"].json
}

# ---- where notifications come from: the bucket itself, or EventBridge

# Replaces ALL notifications of the bucket: see the variable.
resource "aws_s3_bucket_notification" "objects" {
  count       = var.manage_bucket_notification ? 1 : 0
  bucket      = var.bucket_name
  eventbridge = var.use_event_bridge

  dynamic "queue" {
    for_each = var.use_event_bridge ? [] : [aws_sqs_queue.notifications.arn]

    content {
      id            = var.name
      queue_arn     = queue.value
      filter_prefix = local.notification_prefix
      events = [
        "s3:ObjectCreated:*",
        "s3:ObjectRemoved:*",
        "s3:LifecycleExpiration:*",
        "s3:ObjectRestore:Completed",
      ]
    }
  }

  depends_on = [aws_sqs_queue_policy.notifications]
}

resource "aws_cloudwatch_event_rule" "objects" {
  count       = var.use_event_bridge ? 1 : 0
  name        = var.name
  description = "Objects of the bucket were created, deleted or restored"

  event_pattern = jsonencode({
    source        = ["aws.s3"]
    "detail-type" = ["Object Created", "Object Deleted", "Object Restore Completed"]
    detail = merge(
      { bucket = { name = [var.bucket_name] } },
      var.prefix == "" ? {} : { object = { key = [{ prefix = var.prefix }] } },
    )
  })
}

resource "aws_cloudwatch_event_target" "queue" {
  count = var.use_event_bridge ? 1 : 0
  rule  = aws_cloudwatch_event_rule.objects[0].name
  arn   = aws_sqs_queue.notifications.arn

  dead_letter_config {
    arn = aws_sqs_queue.dead_letters.arn
  }
}

# ---- the function

data "archive_file" "function" {
  type        = "zip"
  source_file = "${path.module}/../lambda/ai_s3_to_fastapi.py"
  output_path = "${path.module}/.terraform/ai_s3_to_fastapi.zip"
}

resource "aws_cloudwatch_log_group" "function" {
  name              = "/aws/lambda/${var.name}"
  retention_in_days = 30
}

data "aws_iam_policy_document" "lambda_assumes" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["lambda.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "function" {
  statement {
    actions   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
    resources = [aws_sqs_queue.notifications.arn]
  }
  statement {
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [var.secret_arn]
  }
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["${aws_cloudwatch_log_group.function.arn}:*"] # the streams of this group
  }
}

resource "aws_iam_role" "function" {
  name_prefix        = "${var.name}-"
  assume_role_policy = data.aws_iam_policy_document.lambda_assumes.json
}

resource "aws_iam_role_policy" "function" {
  name   = "forward"
  role   = aws_iam_role.function.id
  policy = data.aws_iam_policy_document.function.json
}

resource "aws_lambda_function" "forward" {
  function_name    = var.name
  description      = "Hands notifications of S3 over to s3-to-milvus"
  filename         = data.archive_file.function.output_path
  source_code_hash = data.archive_file.function.output_base64sha256
  handler          = "ai_s3_to_fastapi.lambda_handler"
  runtime          = "python3.13"
  architectures    = ["arm64"]
  timeout          = local.function_timeout_s
  memory_size      = 256
  role             = aws_iam_role.function.arn

  environment {
    variables = {
      S2M_URL           = var.service_url
      S2M_SECRET_ARN    = var.secret_arn
      S2M_FORMAT        = var.body_format
      S2M_PREFIX_FILTER = var.prefix_filter
    }
  }

  depends_on = [aws_cloudwatch_log_group.function, aws_iam_role_policy.function]
}

resource "aws_lambda_event_source_mapping" "queue" {
  event_source_arn                   = aws_sqs_queue.notifications.arn
  function_name                      = aws_lambda_function.forward.arn
  batch_size                         = 10
  maximum_batching_window_in_seconds = local.batching_window_s
  function_response_types            = ["ReportBatchItemFailures"]

  # At least 2. Reserved concurrency below it would use up receives, so none is reserved.
  scaling_config {
    maximum_concurrency = 5
  }
}

# ---- alarms

resource "aws_cloudwatch_metric_alarm" "queue" {
  for_each            = local.alarms
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.description
  namespace           = "AWS/SQS"
  metric_name         = each.value.metric
  dimensions          = { QueueName = each.value.queue }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = each.value.threshold
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = local.alarm_actions
}

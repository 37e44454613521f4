variable "bucket_name" {
  description = "The bucket whose objects are indexed. It exists already."
  type        = string
}

variable "service_url" {
  description = "Where the service is, such as https://search.example.com"
  type        = string

  validation {
    condition     = can(regex("^https?://.+", var.service_url))
    error_message = "It begins with https://"
  }
}

variable "secret_arn" {
  description = "ARN of the secret in Secrets Manager that signs what is sent (S2M_AUTH__EVENT_SECRETS of the service)."
  type        = string
}

variable "name" {
  description = "What everything that is made is called."
  type        = string
  default     = "s3-to-milvus"
}

variable "use_event_bridge" {
  description = "Take events from EventBridge, in place of notifications that the bucket sends itself."
  type        = bool
  default     = false
}

variable "prefix" {
  description = "Only keys that begin so; empty: all."
  type        = string
  default     = ""
}

variable "prefix_filter" {
  description = "Only keys below a folder below this prefix; the original system took those below Milvus/"
  type        = string
  default     = ""
}

variable "body_format" {
  description = "raw, or original for services that know POST /process_s3_event only."
  type        = string
  default     = "raw"

  validation {
    condition     = contains(["raw", "original"], var.body_format)
    error_message = "It is raw or original."
  }
}

variable "manage_bucket_notification" {
  description = <<-TEXT
    Let Terraform set the notifications of the bucket. WARNING: a bucket has one configuration of notifications, and
    this REPLACES it: every notification that the bucket has and that is not in this Terraform state is removed.
    With false (the default) add the notification by hand, as docs/howto/s3-with-lambda.md shows.
  TEXT
  type        = bool
  default     = false
}

variable "alarm_topic_arn" {
  description = "A topic of SNS that is told when notifications wait too long or fail for good; empty: none."
  type        = string
  default     = ""
}

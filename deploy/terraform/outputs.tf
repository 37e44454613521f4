output "queue_arn" {
  description = "What the notification of the bucket is sent to."
  value       = aws_sqs_queue.notifications.arn
}

output "queue_url" {
  value = aws_sqs_queue.notifications.id
}

output "dead_letter_queue_arn" {
  value = aws_sqs_queue.dead_letters.arn
}

output "dead_letter_queue_url" {
  value = aws_sqs_queue.dead_letters.id
}

output "function_name" {
  value = aws_lambda_function.forward.function_name
}

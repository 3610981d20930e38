"""What a Prometheus and a Grafana are given: alerts, a dashboard, and the looks whose results they show."""

"""Reports one or several runs as a page; --help lists every flag."""

from engine.config import flags
from engine.config.jobs import ReportJob

if __name__ == '__main__':
  flags.run(ReportJob, 'tools.report.report:report')

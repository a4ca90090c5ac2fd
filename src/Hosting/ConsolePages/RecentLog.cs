using Serilog.Core;
using Serilog.Events;

namespace Marmot.Hosting.ConsolePages;

/// <summary>The last warnings and errors of the log, as redacted as the log is, for the console. In memory; bounded.</summary>
public sealed class RecentLog : ILogEventSink
{
    private const int MaxLines = 100;
    private const int MaxLength = 500; // characters of a line
    private readonly Lock _lock = new();
    private readonly Queue<RecentLine> _lines = new();

    /// <summary>Oldest first.</summary>
    public IReadOnlyList<RecentLine> Lines
    {
        get
        {
            lock (_lock)
            {
                return [.. _lines];
            }
        }
    }

    /// <inheritdoc/>
    public void Emit(LogEvent logEvent)
    {
        ArgumentNullException.ThrowIfNull(logEvent);
        if (logEvent.Level < LogEventLevel.Warning)
        {
            return;
        }

        var text = logEvent.RenderMessage(System.Globalization.CultureInfo.InvariantCulture);
        if (logEvent.Exception is { } exception)
        {
            text += $" ({exception.GetType().Name})";
        }

        lock (_lock)
        {
            _lines.Enqueue(new RecentLine(logEvent.Timestamp, logEvent.Level >= LogEventLevel.Error, text.Length <= MaxLength ? text : text[..MaxLength]));
            if (_lines.Count > MaxLines)
            {
                _lines.Dequeue();
            }
        }
    }
}

/// <summary>A line of the log.</summary>
public sealed record RecentLine(DateTimeOffset At, bool IsError, string Text);

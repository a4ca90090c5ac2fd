namespace Marmot.Relay.Operator;

/// <summary>Log lines of a command, for the operator's terminal.</summary>
internal sealed class OperatorLog(TextWriter output) : ILogger
{
    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Information;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        output.WriteLine(formatter(state, exception));
}

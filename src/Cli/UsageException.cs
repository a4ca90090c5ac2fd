namespace Marmot.Cli;

/// <summary>Wrong usage that only the command itself can see: exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);

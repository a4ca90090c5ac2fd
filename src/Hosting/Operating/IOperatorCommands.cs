namespace Marmot.Hosting.Operating;

/// <summary>Where a command's data come from and go to, and its words.</summary>
/// <param name="Input">Lines to import.</param>
/// <param name="Output">Lines exported, numbers.</param>
/// <param name="Say">Takes a sentence for the operator.</param>
/// <param name="Progress">Takes how far it is.</param>
public sealed record CommandStreams(Stream Input, Stream Output, Func<string, Task> Say, Action<string> Progress);

/// <summary>What an operator's command can have a running server do.</summary>
public interface IOperatorCommands
{
    /// <summary>Where the socket stands, in the server's own folder.</summary>
    string SocketPath { get; }

    /// <summary>Carries out a command line.</summary>
    /// <returns>The exit code: 0 done, 1 failed, 2 wrong usage.</returns>
    /// <exception cref="IOException">It failed; the message is for the operator.</exception>
    Task<int> RunAsync(string[] args, CommandStreams streams, CancellationToken cancel);
}

namespace Marmot.Hosting.Moderating;

/// <summary>A server that has something to remove when the operator bans a key, an event or a blob.</summary>
public interface IDecisionFollower
{
    /// <summary>Stable, lower-case name of the server.</summary>
    string Name { get; }

    /// <summary>Removes what was banned between two states; may be asked twice for the same.</summary>
    Task ApplyAsync(ModerationState before, ModerationState now, CancellationToken cancel);
}

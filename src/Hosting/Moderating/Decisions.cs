namespace Marmot.Hosting.Moderating;

/// <summary>Carries out what an operator decides, whichever way it came: NIP-86, the console, a command. Each decision is kept with its audit line in one
/// step, then the servers remove what it bans.</summary>
/// <param name="moderation">What holds.</param>
/// <param name="followers">The servers of this process.</param>
/// <param name="time">Dates the audit trail.</param>
public sealed class Decisions(Moderation moderation, IEnumerable<IDecisionFollower> followers, TimeProvider time)
{
    /// <summary>Lines of the audit trail that are kept.</summary>
    public const int MaxTrail = 1000;

    private int _underWay;

    /// <summary>True while what was decided here is still being carried out.</summary>
    internal bool IsUnderWay => Volatile.Read(ref _underWay) > 0;

    /// <summary>The servers of this process.</summary>
    internal IEnumerable<IDecisionFollower> Followers => followers;

    /// <summary>One of <see cref="DecisionActions.Names"/>.</summary>
    /// <param name="action">Which.</param>
    /// <param name="target">As the operator wrote it.</param>
    /// <param name="reason">The operator's words; may be empty.</param>
    /// <param name="by">Who: an npub, or <c>command line</c>.</param>
    /// <param name="cancel">Gives it up; what was kept stays.</param>
    /// <exception cref="ArgumentException">A mistake of the caller's, in a sentence.</exception>
    /// <exception cref="IOException">It could not be kept, and does not hold.</exception>
    public Task DecideAsync(string action, string target, string reason, string by, CancellationToken cancel)
    {
        var read = DecisionActions.ReadTarget(action, target);
        reason = Short(reason);
        return DecideAsync(action, read, reason, by, state => DecisionActions.Apply(state, action, read, reason), cancel);
    }

    /// <summary>Any change of the state.</summary>
    public async Task DecideAsync(string action, string target, string reason, string by, Func<ModerationState, ModerationState> change,
        CancellationToken cancel)
    {
        ArgumentNullException.ThrowIfNull(change);
        Interlocked.Increment(ref _underWay);
        try
        {
            var (before, now) = await moderation.ChangeAsync(state => WithLine(change(state), action, target, Short(reason), by), cancel);
            foreach (var follower in followers)
            {
                await follower.ApplyAsync(before, now, cancel);
            }
        }
        finally
        {
            Interlocked.Decrement(ref _underWay);
        }
    }

    /// <summary>Keeps an audit line of what was done without a change of the state: a deletion.</summary>
    public async Task RecordAsync(string action, string target, string reason, string by, CancellationToken cancel) =>
        await moderation.ChangeAsync(state => WithLine(state, action, target, Short(reason), by), cancel);

    private ModerationState WithLine(ModerationState state, string action, string target, string reason, string by)
    {
        var line = new Decision(state.LastNumber + 1, time.GetUtcNow().ToUnixTimeSeconds(), by, action, target, reason);
        return state with { Trail = [.. state.Trail.Skip(Math.Max(0, state.Trail.Count - MaxTrail + 1)), line] };
    }

    private static string Short(string? reason)
    {
        var text = (reason ?? "").Trim();
        return text.Length <= DecisionActions.MaxReason ? text : text[..DecisionActions.MaxReason];
    }
}

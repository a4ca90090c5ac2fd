namespace Marmot.Client.Convergence;

/// <summary>The constants of convergence in the adopted profile. All members of a group use the same ones, so they are no settings.</summary>
internal sealed record ConvergencePolicy
{
    /// <summary>What White Noise, Amethyst and marmot-ts use.</summary>
    internal static readonly ConvergencePolicy Adopted = new();

    /// <summary>How many epochs a branch may be taken back.</summary>
    public ulong MaxRewindCommits { get; init; } = 5;

    /// <summary>Accounts that must have spoken in an epoch of a branch for its quorum; also the most that count for its score.</summary>
    public int WitnessQuorumSenders { get; init; } = 2;

    /// <summary>Epochs of a branch that must have a quorum.</summary>
    public int WitnessQuorumEpochs { get; init; } = 1;

    /// <summary>Commits that a quorum is worth.</summary>
    public ulong MaxWitnessOverrideDepth { get; init; } = 1;

    /// <summary>A pass freezes when nothing that matters has come for this long.</summary>
    public TimeSpan Quiescence { get; init; } = TimeSpan.FromMilliseconds(1000);

    /// <summary>A pass freezes this long after it was opened, whatever comes.</summary>
    public TimeSpan PassCap { get; init; } = TimeSpan.FromMilliseconds(5000);
}

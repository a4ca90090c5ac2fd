using Marmot.Protocol.Encoding;

namespace Marmot.Client.Convergence;

/// <summary>Where a pass stands.</summary>
internal enum PassPhase
{
    /// <summary>None is open: messages and changes may be sent.</summary>
    Idle,

    /// <summary>Input is collected until nothing more comes.</summary>
    Collecting,

    /// <summary>The list is complete; what comes later waits for the next pass.</summary>
    Frozen,
}

/// <summary>A pass as it is stored, so that a restart resumes it.</summary>
/// <param name="Phase">Collecting or frozen.</param>
/// <param name="OpenedAt">By the system's clock, Unix milliseconds.</param>
/// <param name="LastAt">When the last input that matters came; the same clock.</param>
/// <param name="Digests">What it holds, by SHA-256 of the MLSMessage.</param>
internal sealed record PassRecord(PassPhase Phase, long OpenedAt, long LastAt, List<Bytes32> Digests);

/// <summary>
/// The clockwork of convergence: when a pass opens, how long it collects, and when it freezes. Which input opens a pass or matters to it is for the caller to
/// say. Intervals are measured by timestamps, so that a clock that is set changes nothing while the process runs. One caller at a time.
/// </summary>
internal sealed class ConvergencePass(ConvergencePolicy policy, TimeProvider time)
{
    private readonly List<Bytes32> _digests = [];
    private readonly HashSet<Bytes32> _known = [];
    private readonly List<Bytes32> _later = [];
    private bool _opensNext;
    private long _opened;
    private long _last;
    private TimeSpan _before; // how long it had collected when it was resumed
    private TimeSpan _quietBefore;

    public PassPhase Phase { get; private set; } = PassPhase.Idle;

    /// <summary>True while an own commit waits for its OK: nothing opens, input is stored.</summary>
    public bool IsHeld { get; private set; }

    /// <summary>What the pass holds, in order of arrival.</summary>
    public IReadOnlyList<Bytes32> Digests => _digests;

    /// <summary>How long until it freezes; null when none is collecting.</summary>
    public TimeSpan? Remaining
    {
        get
        {
            if (Phase != PassPhase.Collecting)
            {
                return null;
            }

            var quiet = policy.Quiescence - _quietBefore - time.GetElapsedTime(_last);
            var cap = policy.PassCap - _before - time.GetElapsedTime(_opened);
            var left = quiet < cap ? quiet : cap;
            return left > TimeSpan.Zero ? left : TimeSpan.Zero;
        }
    }

    /// <summary>Takes input in: what is known already counts as nothing.</summary>
    /// <param name="digest">SHA-256 of the MLSMessage.</param>
    /// <param name="opens">True for what opens a pass: a commit of somebody else, or a message the own branch does not read, later than an epoch with two known
    /// commits.</param>
    /// <param name="matters">True for what a pass waits for longer: a commit, a proposal of an epoch with a commit, a message after two rival commits.</param>
    public void Take(in Bytes32 digest, bool opens, bool matters)
    {
        if (!_known.Add(digest))
        {
            return;
        }

        if (Phase == PassPhase.Frozen || IsHeld)
        {
            _later.Add(digest);
            _opensNext |= opens;
            return;
        }

        _digests.Add(digest);
        if (Phase == PassPhase.Idle && opens)
        {
            Open();
        }
        else if (Phase == PassPhase.Collecting && matters)
        {
            (_last, _quietBefore) = (time.GetTimestamp(), TimeSpan.Zero);
        }
    }

    /// <summary>An own commit was published and waits for its OK.</summary>
    public void Hold() => IsHeld = true;

    /// <summary>The own commit has its OK, or failed: what came meanwhile counts now. The own commit is a candidate like any other when it is in
    /// force.</summary>
    public void Release()
    {
        IsHeld = false;
        if (Phase != PassPhase.Frozen)
        {
            TakeLater();
        }
    }

    /// <summary>Freezes the pass when its time is over. True when it is frozen: resolve it, then call <see cref="Close"/>.</summary>
    public bool TryFreeze()
    {
        if (Phase == PassPhase.Collecting && Remaining == TimeSpan.Zero)
        {
            Phase = PassPhase.Frozen;
        }

        return Phase == PassPhase.Frozen;
    }

    /// <summary>Freezes a pass that collects at once: all there is to read is here.</summary>
    public void Freeze() => Phase = Phase == PassPhase.Collecting ? PassPhase.Frozen : throw new InvalidOperationException("no pass is collecting");

    /// <summary>The pass is resolved. What came since it froze opens the next one, if it is of that kind.</summary>
    public void Close()
    {
        if (Phase != PassPhase.Frozen)
        {
            throw new InvalidOperationException("only a frozen pass is closed");
        }

        _known.ExceptWith(_digests);
        _digests.Clear();
        Phase = PassPhase.Idle;
        if (!IsHeld)
        {
            TakeLater();
        }
    }

    /// <summary>The pass for the store; null when none is open.</summary>
    public PassRecord? Save()
    {
        long now = time.GetUtcNow().ToUnixTimeMilliseconds();
        return Phase == PassPhase.Idle ? null : new PassRecord(
            Phase,
            now - (long)(_before + time.GetElapsedTime(_opened)).TotalMilliseconds,
            now - (long)(_quietBefore + time.GetElapsedTime(_last)).TotalMilliseconds,
            [.. _digests]);
    }

    /// <summary>Goes on with a stored pass: a frozen one as it was, a collecting one by the system's clock. A clock that was set back meanwhile freezes it at
    /// once.</summary>
    public static ConvergencePass Resume(ConvergencePolicy policy, TimeProvider time, PassRecord record)
    {
        var pass = new ConvergencePass(policy, time) { Phase = record.Phase };
        pass._digests.AddRange(record.Digests);
        pass._known.UnionWith(record.Digests);
        long now = time.GetUtcNow().ToUnixTimeMilliseconds();
        (pass._opened, pass._last) = (time.GetTimestamp(), time.GetTimestamp());
        (pass._before, pass._quietBefore) = now < record.LastAt
            ? (policy.PassCap, policy.Quiescence)
            : (TimeSpan.FromMilliseconds(now - record.OpenedAt), TimeSpan.FromMilliseconds(now - record.LastAt));
        return pass;
    }

    private void Open()
    {
        Phase = PassPhase.Collecting;
        (_opened, _last) = (time.GetTimestamp(), time.GetTimestamp());
        (_before, _quietBefore) = (TimeSpan.Zero, TimeSpan.Zero);
    }

    private void TakeLater()
    {
        _digests.AddRange(_later);
        _later.Clear();
        if (_opensNext && Phase == PassPhase.Idle)
        {
            Open();
        }

        _opensNext = false;
    }
}

using System.Collections.Concurrent;
using Marmot.Client.Accounts;
using Marmot.Protocol.Encoding;

namespace Marmot.Client.Groups;

/// <summary>The groups of the account, and the gate: steps that change a group or the account run one after another inside it. Thread-safe.</summary>
internal sealed class GroupSessions : IDisposable
{
    private readonly SemaphoreSlim _gate = new(1, 1);
    private readonly ConcurrentDictionary<string, GroupSession> _sessions = new(StringComparer.Ordinal);

    public GroupSessions(Account account)
    {
        foreach (var session in GroupSession.LoadAll(account.Store, account.Time, account.PublicKey))
        {
            _sessions[session.GroupId] = session;
        }
    }

    /// <summary>All groups as they are now; a snapshot.</summary>
    public ICollection<GroupSession> All => _sessions.Values;

    /// <summary>Waits for the gate; the caller leaves it by disposing.</summary>
    public async Task<IDisposable> EnterAsync(CancellationToken cancellationToken)
    {
        await _gate.WaitAsync(cancellationToken);
        return new Exit(_gate);
    }

    /// <summary>The same, blocking, for steps that need no network.</summary>
    public IDisposable Enter()
    {
        _gate.Wait();
        return new Exit(_gate);
    }

    /// <summary>Reads one group inside the gate.</summary>
    public T Read<T>(string groupId, Func<GroupSession, T> read)
    {
        using (Enter())
        {
            return read(Require(groupId));
        }
    }

    /// <summary>A group by its MLS group id, if it is known.</summary>
    public bool TryGet(string groupId, [System.Diagnostics.CodeAnalysis.NotNullWhen(true)] out GroupSession? session) =>
        _sessions.TryGetValue(groupId, out session);

    /// <summary>A group by its MLS group id or its public id, hex.</summary>
    /// <exception cref="ClientException">There is none.</exception>
    public GroupSession Require(string groupId)
    {
        if (_sessions.TryGetValue(groupId, out var session))
        {
            return session;
        }

        // The public id works too; it is what people see in events.
        return Bytes32.TryParseHex(groupId.AsSpan(), out var routing) && _sessions.Values.FirstOrDefault(one => one.RoutingIds.Contains(routing)) is { } found
            ? found
            : throw new ClientException($"no group {groupId}");
    }

    /// <summary>A group that this account may change as an admin.</summary>
    /// <exception cref="ClientException">There is none, or the account is no admin or no member of it.</exception>
    public GroupSession RequireAdmin(string groupId)
    {
        var session = Require(groupId);
        return !session.IsActive ? throw new ClientException("you are no longer a member of this group")
            : session.IsAdmin ? session
            : throw new ClientException("only an admin can do this");
    }

    /// <summary>Adds a group, or puts it in the place of what was known of it.</summary>
    public void Put(GroupSession session)
    {
        if (_sessions.TryRemove(session.GroupId, out var old))
        {
            old.Dispose();
        }

        _sessions[session.GroupId] = session;
    }

    public void Dispose()
    {
        foreach (var session in _sessions.Values)
        {
            session.Dispose();
        }

        _gate.Dispose();
    }

    private sealed class Exit(SemaphoreSlim gate) : IDisposable
    {
        public void Dispose() => gate.Release();
    }
}

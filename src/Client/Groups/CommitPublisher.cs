using Marmot.Client.Accounts;
using Marmot.Client.Relays;
using Marmot.Client.Sending;
using Marmot.Mls.Groups;
using Marmot.Mls.Messages;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Groups;

namespace Marmot.Client.Groups;

/// <summary>The way of an own commit (MIP-03): stage, store, publish, wait for an OK, merge, then the Welcomes. Inside the gate of
/// <see cref="GroupSessions"/>.</summary>
internal sealed class CommitPublisher
{
    /// <summary>A commit without an answer is sent again this long and no longer: a late one would overturn what others did since.</summary>
    private static readonly TimeSpan CommitRetryPause = TimeSpan.FromSeconds(60);

    private readonly Account _account;
    private readonly RelayRequests _relays;
    private readonly Outbox _outbox;

    public CommitPublisher(Account account, RelayRequests relays, Outbox outbox)
        => (_account, _relays, _outbox) = (account, relays, outbox);

    /// <summary>Publish, wait for the OK, merge, then the Welcomes (MIP-03). A commit without an answer is decided by the next sync.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> CommitAsync(GroupSession session, CommitRequest request, IReadOnlyList<Invitee> invitees,
        CancellationToken cancellationToken)
    {
        var evt = session.StageCommit(request, invitees);
        var published = await _relays.PublishAsync(evt, session.Relays, cancellationToken);
        if (published.Acked)
        {
            session.ConfirmCommit(_outbox.WelcomesOf(session));
            return [published, .. await _outbox.FlushAsync(entry => entry.Recipient is not null && entry.GroupId == session.GroupId, cancellationToken)];
        }

        if (published.IsRefused)
        {
            session.AbandonCommit();
            throw new ClientException($"no relay took the commit: {published.Reasons}");
        }

        throw new ClientException($"no relay has answered; the commit waits and the next sync decides it: {published.Reasons}");
    }

    /// <summary>Commits the proposals that wait, as far as this client may; empty when nothing waits.</summary>
    public async Task<IReadOnlyList<PublishedEvent>> CommitPendingAsync(GroupSession session, CancellationToken cancellationToken)
    {
        var wanted = session.IsActive ? session.CommittableProposals() : [];
        return wanted.Count == 0 ? [] : await CommitAsync(session, With(new CommitRequest(), wanted), [], cancellationToken);
    }

    /// <summary>Commits another group data together with other proposals and with members who leave.</summary>
    public Task<IReadOnlyList<PublishedEvent>> ChangeDataAsync(
        GroupSession session, GroupData data, IReadOnlyList<Proposal> others, CancellationToken cancellationToken, IReadOnlyList<int>? removed = null)
    {
        var change = new GroupContextExtensionsProposal(MipGroup.WithData(session.Mls.Extensions, data));
        return CommitAsync(session, WithLeaves(session, new CommitRequest { Proposals = [change, .. others] }, removed), [], cancellationToken);
    }

    /// <summary>The same request with the members who leave, when an admin makes it; anybody else's own commit must not be mixed with that.</summary>
    public static CommitRequest WithLeaves(GroupSession session, CommitRequest request, IReadOnlyList<int>? removed = null)
    {
        bool mayTake = session.IsActive && session.IsAdmin;
        return With(request, mayTake
            ? [
                .. session.CommittableProposals()
                    .Where(one => CommitPolicy.IsLeave(one.Proposal, one.Sender) && removed?.Contains((int)one.Sender.Index) != true)
            ]
            : []);
    }

    // A Remove of the own leaf is committed by an inline Remove: MDK's admins keep no such proposal, and a commit that names one would leave them behind for
    // good.
    private static CommitRequest With(CommitRequest request, IReadOnlyList<(Sender Sender, Proposal Proposal)> waiting)
    {
        var leaves = waiting.Where(one => one.Proposal is RemoveProposal && CommitPolicy.IsLeave(one.Proposal, one.Sender)).ToList();
        return new CommitRequest
        {
            ForcePath = request.ForcePath,
            Proposals = [.. request.Proposals, .. leaves.Select(one => one.Proposal).DistinctBy(proposal => ((RemoveProposal)proposal).Removed)],
            IncludePending = (sender, proposal) => waiting.Contains((sender, proposal)) && !leaves.Contains((sender, proposal)),
        };
    }

    /// <summary>An own commit whose answer stayed away, and which the last look at the relays did not show.</summary>
    public async Task ResolveAsync(GroupSession session, CancellationToken cancellationToken)
    {
        if (session.Pending is not { } pending || !NostrEvent.TryParse(System.Text.Encoding.UTF8.GetBytes(pending.EventJson), out var evt, out _))
        {
            return;
        }

        // 1. Does a relay have it?
        var answers = await Task.WhenAll(
            session.Relays.Select(relay => _relays.Network.FetchAsync(relay, new Filter { Ids = [pending.EventId] }, asAccount: false, cancellationToken)));
        bool isShown = answers.Any(answer => answer.Events.Any(found => found.Id == pending.EventId));

        // 2. If it is young, send it again; an old one would be found by nobody who has moved on.
        if (!isShown && session.PendingFor <= CommitRetryPause)
        {
            var published = await _relays.PublishAsync(evt, session.Relays, cancellationToken);
            isShown = published.Acked;
            if (published.IsRefused)
            {
                session.AbandonCommit();
            }
        }
        else if (!isShown && answers.Length > 0 && Array.TrueForAll(answers, answer => answer.Complete))
        {
            session.AbandonCommit();
        }

        // 3. Somebody has it: it is in force.
        if (isShown)
        {
            session.ConfirmCommit(_outbox.WelcomesOf(session));
        }
    }

    /// <summary>The group data, if this client may rewrite it.</summary>
    public static GroupData Writable(GroupSession session) =>
        session.Data is { IsFuture: false } data ? data : throw new ClientException("this group's data is of a later version and must not be rewritten");
}

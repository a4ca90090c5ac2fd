using System.Threading.Channels;
using Marmot.Protocol.Encoding;
using Marmot.Protocol.Events;
using Marmot.Protocol.Filters;
using Marmot.Protocol.Messages;
using Marmot.Protocol.Negentropy;

namespace Marmot.Protocol.RelayClient;

/// <summary>What a reconciliation with a relay found (NIP-77).</summary>
/// <param name="Completed">True when both lists are whole.</param>
/// <param name="Prefix">Why not: the prefix of NEG-ERR, or why none came; none when completed.</param>
/// <param name="Have">Ids that the relay lacks.</param>
/// <param name="Need">Ids that we lack.</param>
public sealed record ReconcileResult(bool Completed, RejectPrefix Prefix, IReadOnlyCollection<Bytes32> Have, IReadOnlyCollection<Bytes32> Need);

public sealed partial class RelayConnection
{
    // strfry and others refuse messages above 128 KiB unless told otherwise; hex doubles.
    private const int MaxReconcileBytes = 60_000;

    // Each honest answer halves what is unknown many times over; a relay that goes on and on is not reconciling.
    private const int MaxReconcileRounds = 10_000;

    private readonly record struct ReconcileAnswer(byte[]? Message, RejectPrefix Prefix);

    /// <summary>Finds out which events of a filter only one side has; the relay must know NIP-77.</summary>
    /// <param name="filter">What to compare.</param>
    /// <param name="set">Our events of that filter.</param>
    /// <param name="cancellationToken">Gives up.</param>
    public async Task<ReconcileResult> ReconcileAsync(Filter filter, NegentropySet set, CancellationToken cancellationToken)
    {
        var id = RelaySession.NewId();
        var dialogue = new Dialogue();
        HashSet<Bytes32> have = [], need = [];
        if (_session is not { } session)
        {
            return new ReconcileResult(false, RejectPrefix.Disconnected, have, need);
        }

        session.Add(id, dialogue);
        try
        {
            await session.SendAsync(ClientMessageWriter.NegentropyOpen(id, filter, Reconciliation.Initiate(set)), cancellationToken);
            for (var round = 0; round < MaxReconcileRounds; round++)
            {
                var answer = await dialogue.Answers.Reader.ReadAsync(cancellationToken).AsTask().WaitAsync(_options.AnswerTimeout, _time, cancellationToken);
                if (answer.Message is null)
                {
                    return new ReconcileResult(false, answer.Prefix, have, need);
                }

                if (!Reconciliation.TryReconcile(set, answer.Message, MaxReconcileBytes, have, need, out var next))
                {
                    return new ReconcileResult(false, RejectPrefix.Invalid, have, need);
                }

                if (next is null)
                {
                    await session.SendAsync(ClientMessageWriter.NegentropyClose(id), cancellationToken);
                    return new ReconcileResult(true, RejectPrefix.None, have, need);
                }

                await session.SendAsync(ClientMessageWriter.NegentropyMessage(id, next), cancellationToken);
            }

            return new ReconcileResult(false, RejectPrefix.Invalid, have, need);
        }
        catch (TimeoutException)
        {
            return new ReconcileResult(false, RejectPrefix.Timeout, have, need);
        }
        catch (Exception e) when (e is ChannelClosedException || (RelaySession.IsEnd(e) && !cancellationToken.IsCancellationRequested))
        {
            return new ReconcileResult(false, RejectPrefix.Disconnected, have, need);
        }
        finally
        {
            session.Remove(id);
        }
    }

    private sealed class Dialogue : RelayListener
    {
        public Channel<ReconcileAnswer> Answers { get; } =
            Channel.CreateBounded<ReconcileAnswer>(new BoundedChannelOptions(4) { SingleReader = true, FullMode = BoundedChannelFullMode.DropWrite });

        protected internal override void OnReconciliation(in RelayMessage message) => Answers.Writer.TryWrite(message.Kind == RelayMessageKind.NegMsg
            ? new ReconcileAnswer(Convert.FromHexString(message.NegentropyHex), RejectPrefix.None)
            : new ReconcileAnswer(null, RejectPrefixes.Read(message.Prefix)));

        protected internal override void OnEnd() => Answers.Writer.TryComplete();
    }
}

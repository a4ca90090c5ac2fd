using Marmot.Protocol.Encoding;

namespace Marmot.AllInOne.Doctor;

/// <summary>What <c>doctor</c> is to look at.</summary>
internal sealed record DoctorOptions(Uri Relay, Uri? Blossom, Bytes32? Notify, bool Json)
{
    /// <summary>Where nothing is named: the server of this machine, relay and Blossom on one port.</summary>
    internal static DoctorOptions For(Uri? relay, Uri? blossom, Bytes32? notify, bool json)
    {
        bool isBare = relay is null && blossom is null && notify is null;
        return new DoctorOptions(relay ?? new Uri("ws://127.0.0.1:8080/"), blossom ?? (isBare ? new Uri("http://127.0.0.1:8080/") : null), notify, json);
    }
}

using System.Numerics;
using System.Security.Cryptography;
using Marmot.Mls.Crypto;

namespace Marmot.Benchmarks.Mls;

/// <summary>
/// What the public-key operations of a row cost alone, one after the other on one core: the limit that no MLS library over this cryptographic library can pass
/// without a second core. Each is measured in the same rounds as the rows.
/// </summary>
internal sealed class Limits
{
    private const int Times = 20;

    private readonly CipherSuite _suite = CipherSuite.X25519Aes128Ed25519;
    private readonly Figures _figures = new();
    private readonly byte[] _message = RandomNumberGenerator.GetBytes(400);
    private readonly byte[] _signature;
    private readonly byte[] _publicKey;
    private readonly SecretBytes _signer;
    private readonly SecretKeyPair _pair;

    public Limits()
    {
        var keys = _suite.GenerateSignatureKeyPair();
        (_publicKey, _signer, _pair) = (keys.PublicKey, _suite.Signature.Prepare(keys.PrivateKey), _suite.Kem.Generate());
        _signature = _suite.Signature.Sign(_signer, _message);
    }

    public void Round()
    {
        _figures.Time("sign", () => _suite.Signature.Sign(_signer, _message), Times);
        _figures.Time("verify", () => _suite.Signature.Verify(_publicKey, _message, _signature), Times);
        _figures.Time("key", () => _suite.Kem.PublicKey(_pair.PrivateKey), Times);
        _figures.Time("agree", () =>
        {
            Span<byte> shared = stackalloc byte[32];
            _suite.Kem.Decapsulate(_pair.PrivateKey, _pair.PublicKey, _pair.PublicKey, shared); return 0;
        }, Times);
    }

    public double Sign => _figures["sign"].Elapsed;
    public double Verify => _figures["verify"].Elapsed;
    public double VerifyProcessor => _figures["verify"].Processor;
    public double Key => _figures["key"].Elapsed;
    public double Agree => _figures["agree"].Elapsed;

    /// <summary>Milliseconds for a row at this many members; 0 where no public-key operation is needed.</summary>
    public double Of(string row, int members)
    {
        var depth = BitOperations.Log2(BitOperations.RoundUpToPowerOf2((uint)members));
        var seal = Key + Agree;
        return row switch
        {
            "generate" => (3 * Sign) + (2 * Key), // the signature key costs about what a signature does
            "add" => ((members - 1) * ((2 * Verify) + seal)) + (2 * Sign),
            "join" => Agree + ((members + 1) * Verify) + Key,
            "addOne" => (2 * Verify) + seal + (2 * Sign),
            "processAddOne" => 3 * Verify,
            "update" => ((members - 1) * seal) + ((depth + 1) * Key) + (2 * Sign),
            "processUpdate" => (2 * Verify) + Agree + (depth * Key),
            "encrypt" => Sign,
            "decrypt" => Verify,
            _ => 0,
        };
    }
}
